"""Asking Prometheus over its HTTP API."""

from collections.abc import Mapping

import httpx

from tests.dashboards.measure import Series


class QueryFailed(Exception):
    """Prometheus did not answer a query, with its own words."""


async def query(client: httpx.AsyncClient, url: str, expression: str, at: float) -> Series:
    """An instant vector at a Unix time. Raises QueryFailed."""
    answer = (
        await client.get(f"{url}/api/v1/query", params={"query": expression, "time": f"{at:.3f}"})
    ).json()
    if answer["status"] != "success":
        raise QueryFailed(f"{expression}: {answer.get('error')}")
    return {
        frozenset(entry["metric"].items()): float(entry["value"][1]) for entry in answer["data"]["result"]
    }


async def unhealthy_rules(client: httpx.AsyncClient, url: str) -> list[str]:
    """Rules that could not be evaluated, with the reason."""
    answer = (await client.get(f"{url}/api/v1/rules")).json()
    rules = [rule for group in answer["data"]["groups"] for rule in group["rules"]]
    if not rules:
        return ["no rule is loaded"]
    return [f"{rule['name']}: {rule.get('lastError')}" for rule in rules if rule["health"] != "ok"]


async def targets(client: httpx.AsyncClient, url: str) -> Mapping[str, str]:
    """What is scraped, by URL, with the reason where it fails."""
    answer = (await client.get(f"{url}/api/v1/targets", params={"state": "active"})).json()
    return {target["scrapeUrl"]: target["lastError"] for target in answer["data"]["activeTargets"]}
