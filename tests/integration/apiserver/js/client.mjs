// What people do with @kubernetes/client-node: create, list, patch, watch, resume, recover, delete, and an informer.
// Prints one JSON object with what it saw; the test that runs it judges. Arguments: namespace, a resourceVersion that is gone.
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const require = createRequire(process.env.CLIENT_NODE_FOLDER + '/package.json');
const k8s = await import(pathToFileURL(require.resolve('@kubernetes/client-node')));

const [namespace, longAgo] = process.argv.slice(2);
const config = new k8s.KubeConfig();
config.loadFromFile(process.env.KUBECONFIG);
const core = config.makeApiClient(k8s.CoreV1Api);
const path = `/api/v1/namespaces/${namespace}/configmaps`;
const saw = {};

const configMap = (name, data) => ({ metadata: { name }, data });

// Watches until `enough` events came or the stream ended.
async function watch(resourceVersion, enough) {
  const events = [];
  let request;
  const ended = new Promise((resolve, reject) => {
    new k8s.Watch(config).watch(path, { resourceVersion, timeoutSeconds: 10 }, (type, object) => {
      if (events.length >= enough) return; // what came in the same chunk, after the request was given up
      events.push([type, object.metadata?.name ?? object.code, object.metadata?.resourceVersion ?? '']);
      if (events.length >= enough) request.then((controller) => controller.abort(), reject);
    }, (error) => resolve(error ? (error.statusCode ?? error.code ?? error.name) : null))
      .then((controller) => { started(controller); }, reject);
  });
  let started;
  request = new Promise((resolve) => { started = resolve; });
  const end = await ended;
  return { events, end };
}

saw.created = (await core.createNamespacedConfigMap({ namespace, body: configMap('a', { k: '1' }) })).data;
const listed = await core.listNamespacedConfigMap({ namespace });
saw.listed = listed.items.map((one) => one.metadata.name);

await core.createNamespacedConfigMap({ namespace, body: configMap('b', {}) });
saw.patched = (await core.patchNamespacedConfigMap(
  { namespace, name: 'a', body: [{ op: 'add', path: '/data/l', value: '2' }] })).data;
saw.merged = (await core.patchNamespacedConfigMap(
  { namespace, name: 'a', body: { data: { m: '3' } } },
  k8s.setHeaderOptions('Content-Type', k8s.PatchStrategy.MergePatch))).data;
await core.deleteNamespacedConfigMap({ namespace, name: 'b' });

const first = await watch(listed.metadata.resourceVersion, 2);
saw.watched = first.events.map(([type, name]) => [type, name]);
const rest = await watch(first.events.at(-1)[2], 2);
saw.resumed = rest.events.map(([type, name]) => [type, name]);

try {
  await core.readNamespacedConfigMap({ namespace, name: 'nothing' });
} catch (error) {
  saw.missing = error.code;
}

const gone = await watch(longAgo, 1);
saw.gone = gone.events.length ? gone.events[0].slice(0, 2) : gone.end;

const informer = k8s.makeInformer(config, path, () => core.listNamespacedConfigMap({ namespace }));
const told = [];
const informed = new Promise((resolve, reject) => {
  informer.on('add', (one) => { told.push(['add', one.metadata.name]); });
  informer.on('update', (one) => { told.push(['update', one.metadata.name]); });
  informer.on('delete', (one) => { told.push(['delete', one.metadata.name]); resolve(); });
  informer.on('error', reject);
});
await informer.start();
await core.createNamespacedConfigMap({ namespace, body: configMap('c', {}) });
await core.deleteNamespacedConfigMap({ namespace, name: 'c' });
await informed;
await informer.stop();
saw.told = told;

await core.deleteCollectionNamespacedConfigMap({ namespace });
saw.left = (await core.listNamespacedConfigMap({ namespace })).items.length;
console.log(JSON.stringify(saw));
process.exit(0);
