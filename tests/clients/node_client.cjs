// What a user of the official Node.js client does, with the package of the first argument. Reads
// where the hub is from stdin; prints per call, as JSON, what the client made of the hub's answer,
// or {refused: ...} with name and message of its error.
'use strict';

const fs = require('node:fs');

const sdk = require(process.argv[2]);

const DEADLINE = 20000;
const KEYS = {
  primaryKey: 'cHJpbWFyeSBrZXkgb2YgYSB0ZXN0',
  secondaryKey: 'c2Vjb25kYXJ5IGtleSBvZiB0ZXN0',
};
const ENDS = ['completed', 'failed', 'cancelled'];
const seen = {};

// Older versions have callbacks only.
async function call(object, method, ...args) {
  const result = await new Promise((resolve, reject) => {
    object[method](...args, (error, value) => (error ? reject(error) : resolve(value)));
  });
  if (result && result.responseBody !== undefined) return result.responseBody;
  // What 1.0 returns of jobs is text.
  return typeof result === 'string' && result ? JSON.parse(result) : result;
}

async function see(name, object, method, ...args) {
  if (object[method] === undefined) return undefined;
  try {
    const result = await call(object, method, ...args);
    // An empty body is undefined, or empty text, depending on the version.
    seen[name] = result ? plain(result) : null;
    return result;
  } catch (error) {
    seen[name] = { refused: { name: error.name, message: error.message } };
    return undefined;
  }
}

// Twins refer to their client.
function plain(value) {
  const shown = (name, each) => (name.startsWith('_') ? undefined : each);
  return JSON.parse(JSON.stringify(value, shown));
}

async function devices(registry) {
  const authentication = { type: 'sas', symmetricKey: KEYS };
  await see('create', registry, 'create', { deviceId: 'pump', status: 'enabled', authentication });
  await see('create again', registry, 'create', { deviceId: 'pump', status: 'enabled' });
  await see('update', registry, 'update', { deviceId: 'pump', status: 'disabled', authentication });
  await see('get', registry, 'get', 'pump');
  await see('create passing', registry, 'create', { deviceId: 'passing', status: 'enabled' });
  await see('list', registry, 'list');
  await see('delete', registry, 'delete', 'passing');
  await see('get missing', registry, 'get', 'passing');
  await see('statistics', registry, 'getRegistryStatistics');
}

async function bulk(registry) {
  const valve = { deviceId: 'valve', status: 'disabled' };
  await see('add', registry, 'addDevices', [valve, { deviceId: 'meter', status: 'enabled' }]);
  await see('add again', registry, 'addDevices', [valve]);
  await see('update all', registry, 'updateDevices', [{ ...valve, status: 'enabled' }], true);
  await see('remove', registry, 'removeDevices', [{ deviceId: 'meter' }], true);
}

async function modules(registry) {
  if (registry.addModule === undefined) return;
  const edge = { deviceId: 'edge', capabilities: { iotEdge: true } };
  await see('create edge', registry, 'create', edge);
  await see('add module', registry, 'addModule', { deviceId: 'edge', moduleId: 'filter' });
  await see('list modules', registry, 'getModulesOnDevice', 'edge');
  const found = await see('get module', registry, 'getModule', 'edge', 'filter');
  await see('update module', registry, 'updateModule', { ...plain(found), managedBy: 'you' });
  await see('get module twin', registry, 'getModuleTwin', 'edge', 'filter');
  const patch = { properties: { desired: { rate: 5 } } };
  await see('update module twin', registry, 'updateModuleTwin', 'edge', 'filter', patch, '*');
  await see('remove module', registry, 'removeModule', 'edge', 'filter');
}

async function twins(registry) {
  if (registry.getTwin === undefined) return;
  const before = await see('get twin', registry, 'getTwin', 'pump');
  const patch = { tags: { site: 'north' }, properties: { desired: { rate: 5 } } };
  await see('update twin', registry, 'updateTwin', 'pump', patch, before.etag);
  await see('update twin stale', registry, 'updateTwin', 'pump', patch, before.etag);
  await see('update other twin', registry, 'updateTwin', 'valve', { tags: { site: 'south' } }, '*');
  const query = registry.createQuery('SELECT * FROM devices WHERE is_defined(tags.site)', 1);
  for (const name of ['first page', 'second page']) await see(name, query, 'nextAsTwin');
  seen['more pages'] = query.hasMoreResults;
}

async function configurations(registry) {
  if (registry.addConfiguration === undefined) return;
  const wanted = {
    id: 'rates',
    schemaVersion: '1.0',
    content: { deviceContent: { 'properties.desired.rate': 5 } },
    targetCondition: "tags.site='north'",
    priority: 3,
  };
  const added = await see('add configuration', registry, 'addConfiguration', wanted);
  const changed = { ...wanted, priority: 4, etag: added && added.etag };
  await see('update configuration', registry, 'updateConfiguration', changed, false);
  await see('get configuration', registry, 'getConfiguration', 'rates');
  await see('list configurations', registry, 'getConfigurations');
  const desired = { schemaVersion: '1.0' };
  const content = { modulesContent: { $edgeAgent: { 'properties.desired': desired } } };
  await see('apply on edge', registry, 'applyConfigurationContentOnDevice', 'edge', content);
  await see('remove configuration', registry, 'removeConfiguration', 'rates');
}

async function jobs(registry, uris) {
  // The first job goes on until it is cancelled.
  const hanging = await call(registry, 'exportDevicesToBlob', uris.output, false);
  await see('busy', registry, 'exportDevicesToBlob', uris.output, false);
  await see('cancel', registry, 'cancelJob', hanging.jobId);
  await see('cancelled', registry, 'getJob', hanging.jobId);
  await finish('import', registry, 'importDevicesFromBlob', uris.input, uris.output);
  await finish('export', registry, 'exportDevicesToBlob', uris.output, true);
  await see('list jobs', registry, 'listJobs');
  await see('rejected job', registry, 'exportDevicesToBlob', `${uris.output}x`, false);
  await see('unknown job', registry, 'getJob', 'no-such-job');
  const bare = uris.output.split('?')[0];
  if (registry.exportDevicesToBlobByIdentity) {
    await finish('export by identity', registry, 'exportDevicesToBlobByIdentity', bare, true);
  }
}

async function finish(name, registry, method, ...args) {
  const created = await see(name, registry, method, ...args);
  const deadline = Date.now() + DEADLINE;
  for (let job = created; job && !ENDS.includes(job.status); ) {
    if (Date.now() > deadline) throw new Error('the job does not end');
    job = await see(name, registry, 'getJob', created.jobId);
  }
}

async function scheduledJobs(connectionString) {
  if (sdk.JobClient === undefined) return;
  const client = sdk.JobClient.fromConnectionString(connectionString);
  const query = client.createQuery('scheduleUpdateTwin', 'completed');
  await see('scheduled jobs', query, 'next');
  await see('unknown scheduled job', client, 'getJob', 'no-such-job');
}

async function byToken(hub) {
  const scopes = [];
  const credential = {
    getToken: async (scope) => {
      scopes.push(scope);
      return { token: hub.token, expiresOnTimestamp: Date.now() + 3600000 };
    },
  };
  const registry = sdk.Registry.fromTokenCredential(hub.host, credential);
  // Here without a callback.
  seen['get by token'] = plain((await registry.get('pump')).responseBody);
  seen.scopes = scopes;
}

async function main() {
  const hub = JSON.parse(fs.readFileSync(0, 'utf8'));
  const registry = sdk.Registry.fromConnectionString(hub.connectionString);
  for (const part of [devices, bulk, modules, twins, configurations]) await part(registry);
  await jobs(registry, hub.uris);
  await scheduledJobs(hub.connectionString);
  if (sdk.Registry.fromTokenCredential) await byToken(hub);
  process.stdout.write(JSON.stringify(seen), () => process.exit(0));
}

main();
