"""`lakepulse store`: what the online store holds, how large it is, and how far behind Kafka."""

from __future__ import annotations

import argparse

HELP = "show what the online store holds, its bytes per million users, and how far behind Kafka it is"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The domain, the profile, and `--json` for programs."""
    parser.add_argument("--domain", default="shop", help="name or file of a domain (default: shop)")
    parser.add_argument("--profile", default="local", help="settings profile (default: local)")
    parser.add_argument("--json", action="store_true", help="write a JSON object instead")


def run(args: argparse.Namespace) -> int:
    """Returns 0."""
    import msgspec

    from pipelines import settings as settings_module
    from pipelines.cli._tables import print_table
    from pipelines.domain import load_domain
    from pipelines.features.definitions import compile_definitions
    from pipelines.io.folding import TOPICS
    from pipelines.io.kafka_admin import lag
    from pipelines.io.online_store import open_store

    settings = settings_module.load(args.profile)
    domain = load_domain(args.domain, settings)
    with open_store(domain.over(settings), compile_definitions(domain)) as store:
        stats, fences = store.stats(), store.fences()
    behind = {
        topic: sum(
            lag(settings, topic, {p: at for (name, p), at in fences.items() if name == topic}).values()
        )
        for topic in TOPICS
    }
    if args.json:
        found = {"stats": stats, "bytes_per_million_users": stats.bytes_per_million_users, "behind": behind}
        print(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
        return 0
    rows = [(kind, f"{count:,}", f"{stats.record_bytes[kind]:,}") for kind, count in stats.records.items()]
    print_table(("kind", "records", "bytes"), [*rows, ("store", "", f"{stats.total_bytes:,}")])
    if stats.bytes_per_million_users is not None:
        print(f"a million users take {stats.bytes_per_million_users / 2**30:.2f} GiB")
    print("; ".join(f"{topic}: {count:,} messages behind Kafka" for topic, count in behind.items()))
    return 0
