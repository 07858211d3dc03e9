// Unleash's SDK for browsers. Says what it knows whenever that changes, until its standard input ends.
const { InMemoryStorageProvider, UnleashClient } = require('unleash-proxy-client');

const [base, token, userId] = process.argv.slice(2);
const client = new UnleashClient({
    url: `${base}/api/frontend`,
    clientKey: token,
    appName: 'shop',
    refreshInterval: 1,
    metricsInterval: 1,
    metricsIntervalInitial: 1,
    context: { userId, properties: { plan: 'pro' } },
    storageProvider: new InMemoryStorageProvider(),
    fetch,
});
const tell = () => {
    const flags = {};
    for (const { name } of client.getAllToggles()) {
        flags[name] = { on: client.isEnabled(name), variant: client.getVariant(name) };
    }
    console.log(JSON.stringify(flags));
};
client.on('error', (error) => console.log(JSON.stringify({ error })));
client.on('ready', tell);
client.on('update', tell);
client.start();
process.stdin.on('end', () => process.exit(0)).resume();
