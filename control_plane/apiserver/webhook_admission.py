"""Admission by webhooks: who is asked in which order, and what their answers, or their silence, mean.

Mutating webhooks are asked one after the other, configurations by name and webhooks in their order, each
about the object as the one before has left it. Those with `reinvocationPolicy: IfNeeded` are asked once more
when a later one changed the object. Validating webhooks are asked all at once. A call that fails refuses the
request (`failurePolicy: Fail`) or counts as consent (`Ignore`); an answer that refuses always counts.
"""

import asyncio
import logging
import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from control_plane.apiserver.admission_request import AdmissionRequest
from control_plane.apiserver.failure import Failure
from control_plane.apiserver.json_patch import JsonPatchError, apply_patch
from control_plane.apiserver.request_warning import add_warning
from control_plane.apiserver.webhook_client import CallFailed, WebhookClient
from control_plane.apiserver.webhook_match import (
    EXEMPT_KINDS,
    matched_version,
    selects_namespace,
    selects_object,
)
from control_plane.apiserver.webhook_review import BadAnswer, Verdict, read_answer, refusal, review
from control_plane.resources.manifest import Manifest, resource_version_of
from control_plane.resources.registry import ResourceKind
from control_plane.resources.webhook_configuration import (
    MutatingWebhook,
    MutatingWebhookConfiguration,
    ValidatingWebhookConfiguration,
    Webhook,
)
from control_plane.store.api import Store

_log = logging.getLogger(__name__)


class _CallingFailed(Exception):
    """There is no usable answer: the failure policy decides."""


@dataclass(frozen=True, slots=True)
class _Call:
    """A webhook that a request is told to."""

    webhook: Webhook
    told: ResourceKind


class WebhookAdmission:
    """`Admission` by the webhook configurations in a store."""

    def __init__(
        self, store: Store, *, user: Callable[[], Manifest], rng: random.Random | None = None
    ) -> None:
        """`user` gives the `userInfo` of the present request; `rng` chooses among a Service's endpoints."""
        self._store = store
        self._user = user
        self._client = WebhookClient(store, rng or random.Random())
        self._parsed: dict[str, tuple[tuple[str, ...], tuple[Webhook, ...]]] = {}

    async def mutate(self, request: AdmissionRequest) -> Manifest | None:
        """The object as the webhooks want it. Raises Failure."""
        webhooks = await self._webhooks(MutatingWebhookConfiguration.KIND, request)
        if not webhooks:
            return request.wanted
        return await _Mutation(self, webhooks).run(request)

    async def validate(self, request: AdmissionRequest) -> None:
        """Raises Failure with the first refusal."""
        webhooks = await self._webhooks(ValidatingWebhookConfiguration.KIND, request)
        calls = [call for webhook in webhooks if (call := await self.wanted_call(webhook, request))]
        if not calls:
            return
        results = await asyncio.gather(
            *(self.ask(call, request, is_mutating=False) for call in calls), return_exceptions=True
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _webhooks(self, kind: str, request: AdmissionRequest) -> tuple[Webhook, ...]:
        """All of a sort, in the order of asking."""
        configurations = (await self._store.list(kind)).items
        if not configurations or request.kind.kind in EXEMPT_KINDS:
            return ()
        versions = tuple(map(resource_version_of, configurations))
        known = self._parsed.get(kind)
        if known is None or known[0] != versions:
            known = self._parsed[kind] = (versions, _parse(kind, configurations))
        return known[1]

    async def wanted_call(self, webhook: Webhook, request: AdmissionRequest) -> _Call | None:
        """None when the webhook is not to be asked. Raises ObjectNotFound for a missing Namespace."""
        told = matched_version(webhook, request)
        if told is None or not selects_object(webhook, request):
            return None
        if not selects_namespace(webhook, request, await self._namespace(request)):
            return None
        return _Call(webhook, told)

    async def _namespace(self, request: AdmissionRequest) -> Manifest | None:
        if request.kind.kind == "Namespace":
            return request.wanted if request.wanted is not None else request.current
        if not request.namespace:
            return None
        return await self._store.get("Namespace", "", request.namespace)

    async def ask(self, call: _Call, request: AdmissionRequest, *, is_mutating: bool) -> Verdict | None:
        """None when nobody answered and that is to be ignored. Raises Failure for a refusal."""
        try:
            verdict = await self._verdict(call, request, is_mutating)
        except _CallingFailed as error:
            if call.webhook.failure_policy == "Ignore":
                _log.warning("failing open: %s", error)
                return None
            _log.warning("failing closed: %s", error)
            raise _internal(str(error)) from error
        for text in verdict.warnings:
            add_warning(text)
        if not verdict.is_allowed:
            raise refusal(call.webhook.name, verdict.status)
        return verdict

    async def _verdict(self, call: _Call, request: AdmissionRequest, is_mutating: bool) -> Verdict:
        uid, name = str(uuid.uuid4()), call.webhook.name
        content = review(request, call.told, uid=uid, user=self._user())
        try:
            answer = await self._client.call(call.webhook, content)
        except CallFailed as error:
            raise _CallingFailed(
                f'failed calling webhook "{name}": failed to call webhook: {error}'
            ) from error
        try:
            return read_answer(answer, uid=uid, is_mutating=is_mutating)
        except BadAnswer as error:
            message = f'failed calling webhook "{name}": received invalid webhook response: {error}'
            raise _CallingFailed(message) from error


class _Mutation:
    """One object on its way through the mutating webhooks."""

    def __init__(self, admission: WebhookAdmission, webhooks: tuple[Webhook, ...]) -> None:
        self._admission = admission
        self._webhooks = webhooks
        self._asked: list[int] = []
        """Places of webhooks to be asked again when somebody changes the object from here on."""
        self._again: set[int] = set()

    async def run(self, request: AdmissionRequest) -> Manifest | None:
        request = await self._round(request, range(len(self._webhooks)))
        if self._again:
            request = await self._round(request, sorted(self._again))
        return request.wanted

    async def _round(self, request: AdmissionRequest, places: "range | list[int]") -> AdmissionRequest:
        for place in places:
            webhook = self._webhooks[place]
            call = await self._admission.wanted_call(webhook, request)
            if call is None:
                continue
            verdict = await self._admission.ask(call, request, is_mutating=True)
            if verdict is not None and verdict.patch:
                changed = _patched(call, request, verdict.patch)
                if changed != request.wanted:
                    request = request.with_object(changed)
                    self._again.update(self._asked)
                    self._asked.clear()
            if isinstance(webhook, MutatingWebhook) and webhook.reinvocation_policy == "IfNeeded":
                self._asked.append(place)
        return request


def _patched(call: _Call, request: AdmissionRequest, patch: list[object]) -> Manifest:
    """The object, in the version of the request. Raises Failure (500) for a patch that cannot be applied."""
    name = call.webhook.name
    if request.wanted is None:
        raise _internal(
            f'admission webhook "{name}" attempted to modify the object, which is not supported for this '
            "operation"
        )
    told = {**request.wanted, "apiVersion": call.told.api_version}
    try:
        changed = apply_patch(told, patch)
    except JsonPatchError as error:
        raise _internal(f'the patch of admission webhook "{name}" cannot be applied: {error}') from error
    if not isinstance(changed, dict) or changed.get("apiVersion") != call.told.api_version:
        raise _internal(f'the patch of admission webhook "{name}" makes it an object of another kind')
    return {**changed, "apiVersion": request.wanted.get("apiVersion")}


def _parse(kind: str, configurations: list[Manifest]) -> tuple[Webhook, ...]:
    if kind == MutatingWebhookConfiguration.KIND:
        return tuple(
            webhook
            for manifest in configurations
            for webhook in MutatingWebhookConfiguration.parse(manifest).webhooks
        )
    return tuple(
        webhook
        for manifest in configurations
        for webhook in ValidatingWebhookConfiguration.parse(manifest).webhooks
    )


def _internal(message: str) -> Failure:
    return Failure(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        f"Internal error occurred: {message}",
        details={"causes": [{"message": message}]},
    )
