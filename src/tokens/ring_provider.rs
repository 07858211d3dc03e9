//! The cryptography of `jsonwebtoken`, by ring, which is here for TLS and receipts: it verifies, and signs nothing.

use std::sync::Once;

use jsonwebtoken::crypto::{CryptoProvider, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{ErrorKind, Result, new_error};
use jsonwebtoken::signature::{Error, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};
use ring::hmac;
use ring::signature::{
    self, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |_, _| Err(new_error(ErrorKind::UnsupportedAlgorithm)),
    verifier_factory: verifier,
    key_utils: KeyUtils::new_unimplemented(),
};

/// Has `jsonwebtoken` use it; called before its first use.
pub(super) fn install() {
    static ONCE: Once = Once::new();
    // Fails where the process has another one, as a program that a gateway is part of may.
    ONCE.call_once(|| {
        let _ = PROVIDER.install_default();
    });
}

struct RingVerifier {
    algorithm: Algorithm,
    key: DecodingKey,
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    // A public key must never be taken for a secret.
    if key.family() != algorithm.family() {
        return Err(new_error(ErrorKind::InvalidAlgorithm));
    }
    Ok(Box::new(RingVerifier {
        algorithm: *algorithm,
        key: key.clone(),
    }))
}

impl JwtVerifier for RingVerifier {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl Verifier<Vec<u8>> for RingVerifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), Error> {
        let by_rsa = |parameters| self.verify_rsa(parameters, message, signature);
        let by_point = |algorithm| self.verify_point(algorithm, message, signature);
        match self.algorithm {
            Algorithm::HS256 => {
                let key = self.key.try_get_as_bytes().map_err(Error::from_source)?;
                let key = hmac::Key::new(hmac::HMAC_SHA256, key);
                hmac::verify(&key, message, signature).map_err(|_| Error::new())
            }
            Algorithm::RS256 => by_rsa(&signature::RSA_PKCS1_2048_8192_SHA256),
            Algorithm::RS384 => by_rsa(&signature::RSA_PKCS1_2048_8192_SHA384),
            Algorithm::RS512 => by_rsa(&signature::RSA_PKCS1_2048_8192_SHA512),
            Algorithm::PS256 => by_rsa(&signature::RSA_PSS_2048_8192_SHA256),
            Algorithm::PS384 => by_rsa(&signature::RSA_PSS_2048_8192_SHA384),
            Algorithm::PS512 => by_rsa(&signature::RSA_PSS_2048_8192_SHA512),
            Algorithm::ES256 => by_point(&signature::ECDSA_P256_SHA256_FIXED),
            Algorithm::ES384 => by_point(&signature::ECDSA_P384_SHA384_FIXED),
            Algorithm::EdDSA => by_point(&signature::ED25519),
            _ => Err(Error::new()),
        }
    }
}

impl RingVerifier {
    fn verify_rsa(
        &self,
        parameters: &'static RsaParameters,
        message: &[u8],
        signature: &[u8],
    ) -> std::result::Result<(), Error> {
        let DecodingKeyKind::RsaModulusExponent { n, e } = self.key.kind() else {
            return Err(Error::new());
        };
        // ring takes no leading zeros, which some key sets have.
        let (n, e) = (without_zeros(n), without_zeros(e));
        let verified = RsaPublicKeyComponents { n, e }.verify(parameters, message, signature);
        verified.map_err(|_| Error::new())
    }

    fn verify_point(
        &self,
        algorithm: &'static dyn VerificationAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> std::result::Result<(), Error> {
        let key = self.key.try_get_as_bytes().map_err(Error::from_source)?;
        let verified = UnparsedPublicKey::new(algorithm, key).verify(message, signature);
        verified.map_err(|_| Error::new())
    }
}

/// A number in as few bytes as it takes.
pub(super) fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|&&byte| byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}
