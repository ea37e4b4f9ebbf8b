"""How each provider reads its key and phrases its errors."""

from aiohttp import web

from e2e.providers.wire import Json

_ERROR_TYPES = {401: "invalid_request_error", 429: "requests", 404: "invalid_request_error"}
_KEY_HEADERS = {"anthropic": "x-api-key", "elevenlabs": "xi-api-key", "google": "x-goog-api-key"}
_ERROR_CODES = {401: "invalid_api_key", 429: "rate_limit_exceeded"}


def read_key(provider: str, request: web.Request) -> str:
    """Return the key that came with the request, or nothing."""
    scheme, _, credential = request.headers.get("Authorization", "").partition(" ")
    match provider:
        case "deepgram":
            return credential.strip() if scheme.lower() in ("token", "bearer") else ""
        case "cartesia":
            query = request.query.get("api_key") or request.query.get("access_token") or ""
            return request.headers.get("X-API-Key") or query or credential.strip()
        case "assemblyai":
            # Its key comes bare.
            return request.headers.get("Authorization", "").strip()
        case "anthropic" | "elevenlabs" | "google":
            return request.headers.get(_KEY_HEADERS[provider], "").strip()
        case _:
            return credential.strip() if scheme.lower() == "bearer" else ""


def error_body(provider: str, status: int, message: str, request_id: str) -> Json:
    """Phrase an error as the provider would."""
    match provider:
        case "deepgram":
            codes = {401: "INVALID_AUTH", 429: "TOO_MANY_REQUESTS"}
            return {"err_code": codes.get(status, "ERROR"), "err_msg": message, "request_id": request_id}
        case "cartesia":
            return {
                "type": "error",
                "error_code": {401: "unauthorized", 429: "rate_limited"}.get(status, "internal_error"),
                "status_code": status,
                "title": "Error",
                "message": message,
                "request_id": request_id,
            }
        case "anthropic":
            kinds = {401: "authentication_error", 429: "rate_limit_error", 400: "invalid_request_error"}
            return {"type": "error", "error": {"type": kinds.get(status, "api_error"), "message": message}}
        case "google":
            names = {401: "UNAUTHENTICATED", 429: "RESOURCE_EXHAUSTED", 400: "INVALID_ARGUMENT"}
            return {"error": {"code": status, "message": message, "status": names.get(status, "INTERNAL")}}
        case "elevenlabs":
            return {"detail": {"status": f"error_{status}", "message": message}}
        case _:
            kind = _ERROR_TYPES.get(status, "server_error")
            code = _ERROR_CODES.get(status)
            return {"error": {"message": message, "type": kind, "param": None, "code": code}}
