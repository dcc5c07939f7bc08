// What a user of the official Node.js client does. Reads where the hub is from stdin, prints what
// the client made of the hub's answers, as JSON.
'use strict';

const fs = require('node:fs');
const { Registry } = require('azure-iothub');

const DEADLINE = 20000;
const KEYS = {
  primaryKey: 'cHJpbWFyeSBrZXkgb2YgYSB0ZXN0',
  secondaryKey: 'c2Vjb25kYXJ5IGtleSBvZiB0ZXN0',
};

async function devices(registry) {
  const authentication = { type: 'sas', symmetricKey: KEYS };
  const created = await registry.create({ deviceId: 'pump', status: 'enabled', authentication });
  const updated = await registry.update({ deviceId: 'pump', status: 'disabled', authentication });
  const edge = await registry.create({ deviceId: 'edge', capabilities: { iotEdge: true } });
  await registry.addModule({ deviceId: 'edge', moduleId: 'filter' });
  const added = await registry.addDevices([{ deviceId: 'valve', status: 'disabled' }]);
  const addedAgain = await registry.addDevices([{ deviceId: 'valve' }]).catch(refusal);
  const removed = await registry.removeDevices([{ deviceId: 'valve' }], true);
  const seen = {
    created: created.responseBody,
    updated: updated.responseBody,
    edge: edge.responseBody,
    got: (await registry.get('pump')).responseBody,
    again: await registry.create({ deviceId: 'pump' }).catch(refusal),
    modules: (await registry.getModulesOnDevice('edge')).responseBody.map((each) => each.moduleId),
    listed: (await registry.list()).responseBody.map((device) => device.deviceId),
    statistics: (await registry.getRegistryStatistics()).responseBody,
    added: added.responseBody,
    addedAgain,
    removed: removed.responseBody,
  };
  await registry.removeModule('edge', 'filter');
  await registry.delete('edge');
  seen.missing = await registry.get('edge').catch(refusal);
  return seen;
}

async function twins(registry) {
  const { responseBody: twin } = await registry.getTwin('pump');
  const before = twin.etag;
  const patch = { tags: { site: 'north' }, properties: { desired: { rate: 5 } } };
  const { responseBody: patched } = await registry.updateTwin('pump', patch, before);
  const stale = await registry.updateTwin('pump', patch, before).catch(refusal);
  await registry.create({ deviceId: 'valve' });
  await registry.updateTwin('valve', { tags: { site: 'south' } }, '*');
  const query = registry.createQuery('SELECT * FROM devices WHERE is_defined(tags.site)', 1);
  const pages = [];
  while (query.hasMoreResults) {
    const { result } = await query.nextAsTwin();
    pages.push(result.map((each) => each.deviceId));
  }
  return {
    patched: { tags: patched.tags, properties: patched.properties },
    stale,
    pages,
  };
}

async function jobs(registry, uris) {
  // The first job goes on until it is cancelled.
  const hanging = await registry.exportDevicesToBlob(uris.output, false);
  const busy = await registry.exportDevicesToBlob(uris.output, false).catch(refusal);
  await registry.cancelJob(hanging.jobId);
  const created = await registry.importDevicesFromBlob(uris.input, uris.output);
  const imported = await finish(registry, created);
  const exported = await finish(registry, await registry.exportDevicesToBlob(uris.output, true));
  return {
    busy,
    cancelled: (await registry.getJob(hanging.jobId)).status,
    imported,
    exported,
    listed: (await registry.listJobs()).responseBody.map((job) => job.jobId),
    refused: await registry.exportDevicesToBlob(`${uris.output}x`, false).catch(refusal),
    unknown: await registry.getJob('no-such-job').catch(refusal),
  };
}

async function finish(registry, created) {
  const deadline = Date.now() + DEADLINE;
  let job = created;
  while (!['completed', 'failed', 'cancelled'].includes(job.status)) {
    if (Date.now() > deadline) throw new Error('the job does not end');
    job = await registry.getJob(job.jobId);
  }
  return job;
}

function refusal(error) {
  return { name: error.name, message: error.message };
}

async function main() {
  const hub = JSON.parse(fs.readFileSync(0, 'utf8'));
  const registry = Registry.fromConnectionString(hub.connectionString);
  const scopes = [];
  const credential = {
    getToken: async (scope) => {
      scopes.push(scope);
      return { token: hub.token, expiresOnTimestamp: Date.now() + 3600000 };
    },
  };
  const byToken = Registry.fromTokenCredential(hub.host, credential);
  const seen = {
    devices: await devices(registry),
    twins: await twins(registry),
    jobs: await jobs(registry, hub.uris),
    byToken: (await byToken.get('pump')).responseBody.deviceId,
    scopes,
  };
  process.stdout.write(JSON.stringify(seen), () => process.exit(0));
}

main();
