"""The one way this room makes TLS contexts: certificate and host name are always verified, there is no setting to turn it off."""

import ssl

from wardgate.delivery.kind import setting_error


def client_context(gateway: str, ca_file: str | None) -> ssl.SSLContext:
    """A verifying client context that trusts `ca_file`, or the system's authorities without it.

    Raises SettingsError when the file cannot be read or holds no certificate.
    """
    try:
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=ca_file)
    except ssl.SSLError as error:
        raise setting_error(gateway, "ca_file", "holds no certificate: give a PEM file with the authority's certificate") from error
    except OSError as error:
        raise setting_error(gateway, "ca_file", f"cannot be read ({error.strerror}): check the path and its rights") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def verification_problem(error: BaseException | None) -> str | None:
    """What was wrong with a peer's certificate, when that is what lies under `error`; else None."""
    seen = 0
    while error is not None and seen < 10:
        if isinstance(error, ssl.SSLCertVerificationError):
            return error.verify_message
        error, seen = error.__cause__ or error.__context__, seen + 1
    return None
