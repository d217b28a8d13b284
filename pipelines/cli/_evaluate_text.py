"""The report of `lakepulse evaluate` as tables for people."""

from __future__ import annotations

from typing import Any

Report = dict[str, Any]


def text(report: Report) -> str:
    """Tables of everything that the report holds."""
    parts = [_ablation(report)] if "ablation" in report else [_orders(report), _slices(report)]
    if "freshness" in report:
        parts.append(_freshness(report))
    return "\n\n".join([_head(report), *parts])


def _head(report: Report) -> str:
    judged = {
        ("time", "test"): "the last {} decisions with an outcome",
        ("time", "validation"): "{} decisions with an outcome before the test part",
        (
            "random",
            "test",
        ): "{} decisions with an outcome, chosen at random: what was learnt from lies before and after them",
    }[report["split"], report["part"]].format(f"{report['decisions']:,}")
    rounds = f", {report['rounds']} rounds" if "rounds" in report else ""
    return (
        f"{report['domain']}: {report['features']} features, {report['learnt_from']:,} decisions learnt from"
        f"{rounds}; judged on {judged}"
    )


def _orders(report: Report) -> str:
    lines = [f"{'order':<32}{'nDCG@10':>9}{'MRR':>9}"]
    for name, (ndcg, mrr) in report["baselines"].items():
        lines.append(f"{name:<32}{ndcg:>9.4f}{mrr:>9.4f}")
    trainings = len(report["seeds"])
    name = "ranker" if trainings == 1 else f"ranker, mean of {trainings} seeds"
    spread = "" if trainings == 1 else f"   standard deviation between seeds {report['spread']:.4f}"
    lines.append(f"{name:<32}{report['ndcg']:>9.4f}{report['mrr']:>9.4f}{spread}")
    ending = "of nDCG@10, 95 % paired bootstrap interval"
    gains = ["", f"ranker - outcome rate: {_gain(report['gain'])} {ending}"]
    if told := report.get("told_positions"):
        lines.append(f"{told['name']:<32}{told['ndcg']:>9.4f}{'':>9}   no ranking knows them")
        gains.append(f"told the shown positions - outcome rate: {_gain(told['gain'])}")
    return "\n".join([*lines, *gains])


def _slices(report: Report) -> str:
    lines = [f"{'decisions of users with, or of':<32}{'decisions':>9}{'rate':>9}{'ranker':>9}   gain"]
    for part in report["slices"]:
        figures = f"{part['decisions']:>9,}"
        if part["gain"]:
            figures += f"{part['reference']:>9.4f}{part['ndcg']:>9.4f}   {_gain(part['gain'])}"
        lines.append(f"{part['name']:<32}{figures}")
    return "\n".join(lines)


def _ablation(report: Report) -> str:
    lines = [
        f"{'ranker':<38}{'features':>9}{'nDCG@10':>9}   against everything",
        f"{'(outcome rate alone)':<38}{'':>9}{report['outcome_rate']:>9.4f}",
    ]
    return "\n".join([*lines, *_variants(report["ablation"], with_features=True)])


def _freshness(report: Report) -> str:
    lines = [f"{'state of users':<38}{'nDCG@10':>9}   against fresh"]
    return "\n".join([*lines, *_variants(report["freshness"], with_features=False)])


def _variants(variants: list[Report], with_features: bool) -> list[str]:
    lines = []
    for place, variant in enumerate(variants):
        features = f"{variant['features']:>9}" if with_features else ""
        against = f"   {_gain(variant['gain'])}" if place else ""
        lines.append(f"{variant['name']:<38}{features}{variant['ndcg']:>9.4f}{against}")
    return lines


def _gain(gain: Report) -> str:
    return f"{gain['mean']:+.4f} [{gain['low']:+.4f}, {gain['high']:+.4f}]"
