"""`meshctl diagnose`."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import click

from control_plane.client import ApiClient
from lab.paths import LABS
from meshctl.connection import call, find_lab, kubeconfig_option, lab_option
from meshctl.diagnose.collector import Ambiguous, Collector
from meshctl.diagnose.eyes import eyes_for
from meshctl.diagnose.finding import Finding, Layer
from meshctl.diagnose.question import BadQuestion, Question, parse_question
from meshctl.diagnose.report import document, text_lines
from meshctl.diagnose.walk import cause, walk

_UNDER_WAY = (Layer.ENDPOINTS, Layer.CONFIGURATION)
"""Layers that follow a change with a delay."""
_PATIENCE = 1.5
"""Seconds."""


async def look(client: ApiClient, asked: Question, namespace: str) -> tuple[list[Finding], list[str]]:
    """The findings, and what could not be read. What may be a change under way is looked at twice.

    Raises ApiError, Ambiguous.
    """
    for wait in (_PATIENCE, 0.0):
        collector = Collector(client, eyes_for(client.server, LABS), asked, namespace)
        findings = walk(await collector.collect())
        found = cause(findings)
        if found is None or found.layer not in _UNDER_WAY or not wait:
            break
        await asyncio.sleep(wait)
    return findings, collector.unread


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("question", nargs=-1, required=True, type=click.UNPROCESSED)
@click.option("-n", "--namespace", default="", help="Of the client; default: wherever there is one.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@lab_option
@kubeconfig_option
def diagnose(
    question: Sequence[str], namespace: str, output: str, lab: str | None, kubeconfig: Path | None
) -> None:
    """Say why one workload does not reach another: which layer fails first, and how to mend it.

    \b
    meshctl diagnose 'web -> catalog:8080'
    meshctl diagnose web catalog:8080

    The client is a Pod or a Deployment, `web` or `shop/web`; the other a Service, as the client calls it.
    Exit code 0: no fault found, 1: one was found.
    """
    try:
        asked = parse_question(question)
    except BadQuestion as error:
        raise click.UsageError(str(error)) from error
    if kubeconfig is None and lab is not None:
        kubeconfig = find_lab(lab).kubeconfig

    async def work(client: ApiClient) -> tuple[list[Finding], list[str]]:
        return await look(client, asked, namespace)

    try:
        findings, unread = call(kubeconfig, work)
    except Ambiguous as error:
        raise click.ClickException(str(error)) from error
    if output == "json":
        click.echo(json.dumps({**document(asked, findings), "unread": unread}, indent=2))
    else:
        for line in (*text_lines(asked, findings), *(f"  could not be read: {one}" for one in unread)):
            click.echo(line)
    if cause(findings) is not None:
        raise SystemExit(1)
