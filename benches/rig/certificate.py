"""A certificate for loopback, by OpenSSL: P-256, as certificates of today are."""

import subprocess


def make(directory):
    """Writes `bench.crt`, `bench.key`, and `bench.pem` with both."""
    key, certificate = directory / "bench.key", directory / "bench.crt"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", certificate],
        check=True, capture_output=True)
    (directory / "bench.pem").write_text(certificate.read_text() + key.read_text())
