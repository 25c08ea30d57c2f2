// `npm run lab -- up|down [--nodes N]`: real engines to play with, and nothing left of them afterwards. State is in --dir (default /tmp/gantry-lab).
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { loadLab } from '../test/lab/load.mjs';

const usage = `usage: npm run lab -- up [--nodes N] [--dir DIR]     a swarm of one (N = 1) or of N machines with mutual TLS, and a registry
       npm run lab -- down [--dir DIR]                stops and removes what \`up\` started`;

let parsed;
try {
  parsed = parseArgs({ allowPositionals: true, options: { nodes: { type: 'string', default: '2' }, dir: { type: 'string', default: '/tmp/gantry-lab' } } });
} catch (error) {
  fail(error.message);
}
const [command] = parsed.positionals;
const nodes = Number(parsed.values.nodes);
const dir = resolve(parsed.values.dir);
const stateFile = join(dir, 'lab.json');
if (!['up', 'down'].includes(command)) fail(usage);
if (!Number.isInteger(nodes) || nodes < 1 || nodes > 12) fail('--nodes is a number from 1 to 12');

const lab = loadLab();
if (command === 'down') {
  await down();
} else {
  if (existsSync(stateFile)) fail(`a lab is up in ${dir}; first run: npm run lab -- down --dir ${dir}`);
  try {
    await up();
  } catch (error) {
    console.error(`the lab did not start: ${error.message}`);
    await down();
    process.exit(1);
  }
}

async function up() {
  mkdirSync(dir, { recursive: true });
  writeFileSync(stateFile, JSON.stringify({ nodes, registry: null }));
  if (nodes === 1) {
    const engine = await lab.startEngine({ dir: join(dir, 'engine') });
    const registry = await lab.startRegistry({ dir: join(dir, 'registry') });
    writeFileSync(stateFile, JSON.stringify({ nodes, registry: registry.process }));
    console.log(`engine    DOCKER_HOST=unix://${engine.socketPath}   (a swarm of one)`);
    console.log(`registry  ${registry.url}`);
  } else {
    const machines = await lab.startMachines({ dir: join(dir, 'machines'), nodes });
    const client = join(dir, 'client');
    mkdirSync(client, { recursive: true });
    for (const [name, text] of [['ca.pem', machines.pki.ca], ['cert.pem', machines.client.cert], ['key.pem', machines.client.key]]) writeFileSync(join(client, name), text, { mode: 0o600 });
    const server = await machines.pki.server('registry', [machines.uplink]);
    writeFileSync(join(dir, 'registry.pem'), server.cert);
    writeFileSync(join(dir, 'registry.key'), server.key, { mode: 0o600 });
    const registry = await lab.startRegistry({ dir: join(dir, 'registry'), address: machines.uplink, tls: { certFile: join(dir, 'registry.pem'), keyFile: join(dir, 'registry.key') } });
    writeFileSync(stateFile, JSON.stringify({ nodes, registry: registry.process }));
    machines.trustRegistry(registry.host, machines.pki.ca);
    for (const [index, node] of machines.nodes.entries()) console.log(`${node.name}     ${node.address}  tcp://${node.address}:2376  unix://${node.socketPath}${index === 0 ? '  (manager)' : ''}`);
    console.log(`registry  ${registry.url}   (trusted by the nodes)`);
    console.log(`client    DOCKER_HOST=tcp://${machines.nodes[0].address}:2376 DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH=${client}`);
  }
  console.log(`take it down with: npm run lab -- down${dir === '/tmp/gantry-lab' ? '' : ` --dir ${dir}`}`);
}

async function down() {
  if (!existsSync(stateFile)) {
    console.log(`no lab is up in ${dir}`);
    return;
  }
  const state = JSON.parse(readFileSync(stateFile, 'utf8'));
  if (state.registry) await lab.end(state.registry);
  await lab.Machine.takeDown(join(dir, 'engine'));
  await lab.takeDownMachines(join(dir, 'machines'), state.nodes);
  rmSync(dir, { recursive: true, force: true, maxRetries: 5 });
  console.log('the lab is down');
}

function fail(message) {
  console.error(message);
  process.exit(2);
}
