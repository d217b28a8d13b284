"""Package LakePulse: the packages `pipelines` and `jobs`, and the command `lakepulse`."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent
VERSION = re.search(r'^__version__ = "(.+)"$', (ROOT / "pipelines" / "__init__.py").read_text(), re.MULTILINE)
# What stands above "# development" is needed to run; the exact versions of everything are in pipeline.txt,
# resolved for Python 3.11.0.
RUNTIME, _, _ = (ROOT / "requirements" / "pipeline.in").read_text().partition("# development")

setup(
    name="lakepulse",
    version=VERSION.group(1),
    description="Learns what shoppers want, and notices what is wrong, from one stream of shop events",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11,<3.12",
    packages=find_packages(include=["pipelines", "pipelines.*", "jobs", "jobs.*"]),
    package_data={"pipelines.stack": ["*.sh"], "pipelines.serving": ["review/*"]},
    install_requires=RUNTIME.split(),
    entry_points={"console_scripts": ["lakepulse = pipelines.cli:main"]},
)
