// Unleash's SDK for servers. Says who of many users has which flag whenever that changes, until its standard input ends.
const { initialize, InMemStorageProvider } = require('unleash-client');

const [base, token, count, ...names] = process.argv.slice(2);
const unleash = initialize({
    url: `${base}/api`,
    appName: 'backend',
    customHeaders: { Authorization: token },
    refreshInterval: 300,
    metricsInterval: 500,
    storageProvider: new InMemStorageProvider(),
});
const tell = () => {
    const flags = {};
    for (const name of names) {
        const known = unleash.getFeatureToggleDefinition(name);
        flags[name] = known === undefined ? null : [];
        for (let user = 0; known !== undefined && user < Number(count); user += 1) {
            const userId = `user-${user}`;
            const properties = { plan: user % 3 === 0 ? 'pro' : 'free', appVersion: `${user % 12}.1.0` };
            const variant = unleash.getVariant(name, { userId, properties });
            const on = unleash.isEnabled(name, { userId, properties });
            flags[name].push(on ? variant.name : '-');
        }
    }
    console.log(JSON.stringify(flags));
};
unleash.on('error', (error) => console.log(JSON.stringify({ error: String(error) })));
unleash.on('ready', tell);
unleash.on('synchronized', tell);
unleash.on('changed', tell);
process.stdin.on('end', () => process.exit(0)).resume();
