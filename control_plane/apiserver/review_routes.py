"""The HTTP side of reviews: posted, answered with their status filled in, never stored."""

from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from control_plane.apiserver.identity import current_user
from control_plane.apiserver.request_body import read_body
from control_plane.apiserver.review import (
    AUTHENTICATION,
    REVIEWS,
    ReviewFunction,
    check_envelope,
    parse_token_review,
)
from control_plane.apiserver.token_review import TokenReviews
from control_plane.resources.manifest import Manifest, section


def review_routes(token_reviews: TokenReviews | None) -> list[Route]:
    """All of them; without `token_reviews` nobody's token is told."""
    routes = [_route(plural, *REVIEWS[plural]) for plural in REVIEWS]
    if token_reviews is not None:
        routes.append(_token_route(token_reviews))
    return routes


def _route(plural: str, api_version: str, kind: str, answer: ReviewFunction) -> Route:
    async def endpoint(request: Request) -> Response:
        body = await read_body(request)
        check_envelope(body, api_version, kind)
        return _answer(api_version, kind, body, answer(current_user(), body))

    return Route(f"/apis/{api_version}/{plural}", endpoint, methods=["POST"])


def _token_route(reviews: TokenReviews) -> Route:
    async def endpoint(request: Request) -> Response:
        body = await read_body(request)
        check_envelope(body, AUTHENTICATION, "TokenReview")
        spec = parse_token_review(body)
        told: Manifest = {**body, "spec": {"audiences": list(spec.audiences)}}  # the token is not repeated
        return _answer(AUTHENTICATION, "TokenReview", told, await reviews.status(spec))

    return Route(f"/apis/{AUTHENTICATION}/tokenreviews", endpoint, methods=["POST"])


def _answer(api_version: str, kind: str, body: Manifest, status: Manifest) -> Response:
    told: Manifest = {"kind": kind, "apiVersion": api_version, "metadata": section(body, "metadata")}
    if "spec" in body:
        told["spec"] = body["spec"]
    return JSONResponse({**told, "status": status}, HTTPStatus.CREATED)
