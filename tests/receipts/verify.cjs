// jose. Says what the receipt claims, or why it is not valid. The key is a secret, or the URL of a key set.
const { createRemoteJWKSet, jwtVerify } = require('jose');

const [algorithm, key, token] = process.argv.slice(2);
const found = algorithm === 'EdDSA' ? createRemoteJWKSet(new URL(key)) : new TextEncoder().encode(key);
jwtVerify(token, found, { algorithms: [algorithm], issuer: 'serin', requiredClaims: ['exp', 'iat', 'sub'] })
    .then(({ payload }) => console.log(JSON.stringify(payload)))
    .catch((error) => console.log(JSON.stringify({ error: error.code })));
