"""The judges: training set, ranker, evaluation, outlier models, registry, gate."""
