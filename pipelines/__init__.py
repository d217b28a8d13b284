"""LakePulse: learns what every shopper wants, and notices when something is wrong, from one stream of shop
events."""

__version__ = "0.1.0"
