// OpenFeature's provider for browsers, with the EventSource that Node lacks. Says what it knows whenever that changes,
// until its standard input ends. It never polls: what it learns after the first answer, it learns by events.
globalThis.EventSource = require('eventsource').EventSource;
const { OFREPWebProvider } = require('@openfeature/ofrep-web-provider');
const { OpenFeature, ProviderEvents } = require('@openfeature/web-sdk');

const [base, token, targetingKey] = process.argv.slice(2);
(async () => {
    const headers = [['Authorization', token]];
    const provider = new OFREPWebProvider({ baseUrl: base, headers, pollInterval: 0, cacheMode: 'disabled' });
    const tell = () => console.log(JSON.stringify(provider.flagCache));
    await OpenFeature.setContext({ targetingKey });
    OpenFeature.addHandler(ProviderEvents.ConfigurationChanged, tell);
    OpenFeature.addHandler(ProviderEvents.Error, (error) => console.log(JSON.stringify({ error })));
    await OpenFeature.setProviderAndWait(provider);
    tell();
})();
process.stdin.on('end', () => process.exit(0)).resume();
