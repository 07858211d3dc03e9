// OpenFeature's provider for servers. Says what each flag comes to, then ends.
const { OFREPProvider } = require('@openfeature/ofrep-provider');
const { OpenFeature } = require('@openfeature/server-sdk');

const [base, token, targetingKey, ...keys] = process.argv.slice(2);
(async () => {
    const headers = [['Authorization', `Bearer ${token}`]];
    await OpenFeature.setProviderAndWait(new OFREPProvider({ baseUrl: base, headers }));
    const client = OpenFeature.getClient();
    const context = targetingKey === '-' ? {} : { targetingKey, plan: 'pro' };
    const told = {};
    for (const key of keys) {
        const [name, kind] = key.split('=');
        const ask = { string: 'getStringDetails', number: 'getNumberDetails', object: 'getObjectDetails' }[kind];
        const none = { string: 'none', number: -1, object: {} }[kind] ?? false;
        told[name] = await client[ask ?? 'getBooleanDetails'](name, none, context);
    }
    console.log(JSON.stringify(told));
    await OpenFeature.close();
})();
