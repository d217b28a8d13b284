"""The ledger: sessions, statistics, engagement metrics, user profiles, outcomes of decisions."""
