import { difference, type View } from '../e2e/engine-view';
import type { Json } from '../bypass/book';
import type { Account, Pool } from './world';

/*
 * What may have come of the requests, judged from what the engine itself tells, and by none of the product's code: the rules are written here once
 * more, shorter, and the other way round. Whatever is not known to be harmless must be as it is on a plain container.
 */

/** What the requests have made or done, as far as answers told. */
export interface Told {
  /** Who was answered that this was made: ids, and names of volumes. */
  made: ReadonlyMap<string, Account>;
  /** Who was answered that this exec was made. */
  execs: ReadonlyMap<string, Account>;
}

const record = (value: unknown): Json => (typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : {});
const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);
const text = (value: unknown): string => (typeof value === 'string' ? value : '');
const at = (value: unknown, ...path: string[]): unknown => path.reduce((from, key) => record(from)[key], value);
const isUnset = (value: unknown): boolean => value === undefined || value === null || value === '' || value === 0 || value === false || (typeof value === 'object' && Object.values(value).every(isUnset));

/** Members of a container's host configuration that reach nobody but the container itself. */
const ownBusiness = new Set([
  'Memory', 'MemoryReservation', 'MemorySwap', 'MemorySwappiness', 'KernelMemory', 'KernelMemoryTCP', 'CpuShares', 'CpuPeriod', 'CpuQuota', 'CpusetCpus', 'CpusetMems', 'NanoCpus', 'CpuCount', 'CpuPercent', 'PidsLimit', 'Ulimits', 'BlkioWeight', 'IOMaximumIOps',
  'IOMaximumBandwidth', 'Dns', 'DnsOptions', 'DnsSearch', 'ExtraHosts', 'GroupAdd', 'RestartPolicy', 'AutoRemove', 'PortBindings', 'PublishAllPorts', 'ReadonlyRootfs', 'ShmSize', 'Tmpfs', 'Init', 'ConsoleSize', 'CapDrop', 'ContainerIDFile', 'Isolation', 'DiskQuota',
]);
/** Members that are judged by what they say. */
const judged = new Set(['Binds', 'Mounts', 'NetworkMode', 'IpcMode', 'PidMode', 'UsernsMode', 'CgroupnsMode', 'LogConfig', 'OomScoreAdj', 'SecurityOpt', 'Links', 'VolumesFrom', 'VolumeDriver', 'StorageOpt', 'OomKillDisable']);
/** Networks that engines have by themselves; who is connected to them changes. */
export const engineNetworks: ReadonlySet<string> = new Set(['bridge', 'host', 'none', 'ingress', 'docker_gwbridge']);

/** Where the role of who owns it is restrictedcontrol: to change containers, but to run nothing in them and to see none of their files. */
const restricted: ReadonlySet<string> = new Set(['/shop/rita']);

/** Judges views of one engine against the first of it, from before the requests. */
export class Judge {
  /** Names and ids of what nobody of the accounts may use. */
  private readonly foreign: ReadonlySet<string>;

  /**
   * @param base the engine before the accounts had anything
   * @param plain a container that was made without any option, as the engine tells of it
   */
  constructor(private readonly pool: Pool, private readonly base: View, private readonly plain: Json, private readonly signed: { reference: string; id: string }) {
    this.foreign = new Set(pool.foreign.flatMap(({ container, network, volume, secret, config, service, exec }) => [container, network, secret, config, service].flatMap(({ id, name }) => [id, name, `/${name}`]).concat(volume, exec)));
  }

  /** What is in a view that must not be there, in words that begin with the object's key. */
  judge(view: View, told: Told): string[] {
    const wrong: string[] = [];
    for (const [key, before] of this.base) {
      const after = view.get(key);
      if (this.steady(key, before) !== this.steady(key, after ?? '')) wrong.push(`${key}: is not as it was: ${after === undefined ? 'it is gone' : difference(before, after)}`);
    }
    const seen = new Map([...view].filter(([key]) => !this.base.has(key)).map(([key, value]) => [key, JSON.parse(value) as Json]));
    const owners = new Map<string, Owner | null>();
    const serviceOf = (container: Json): string => text(at(container, 'Config', 'Labels', 'com.docker.swarm.service.id'));
    const ownerOf = (key: string): Owner | null => {
      const known = owners.get(key);
      if (known !== undefined) return known;
      const [kind = '', id = ''] = key.split(' ');
      const value = seen.get(key);
      const labels = kind === 'container' ? at(value, 'Config', 'Labels') : kind === 'network' || kind === 'volume' ? at(value, 'Labels') : at(value, 'Spec', 'Labels');
      const service = kind === 'container' ? serviceOf(value ?? {}) : '';
      const owner = service !== '' ? ownerOf(`service ${service}`) : this.ownerBy(text(record(labels)['io.gantry.collection']), told.made.get(id));
      owners.set(key, owner);
      return owner;
    };
    for (const [key, value] of seen) {
      const [kind = '', id = ''] = key.split(' ');
      const find = (what: string): void => void wrong.push(`${key}: ${what}`);
      if (kind === 'task' || kind === 'changes') continue;
      if (kind === 'image') {
        // Without a name of its own it is a layer, or was built by somebody who then gave the name to another.
        for (const name of this.strangeNames(value)) find(`is called ${name}`);
        continue;
      }
      if (['node', 'plugin', 'swarm'].includes(kind)) {
        find(`was made: ${JSON.stringify(value).slice(0, 300)}`);
        continue;
      }
      const owner = ownerOf(key);
      if (kind === 'volume' && at(value, 'Labels', 'io.gantry.collection') === undefined) {
        this.judgeMounted(value, find);
        continue;
      }
      const isTask = kind === 'container' && serviceOf(value) !== '';
      if (!owner) {
        // A service that is being removed leaves its containers for a while.
        if (!isTask || seen.has(`service ${serviceOf(value)}`)) find(`belongs to none of the accounts: ${JSON.stringify(kind === 'container' ? at(value, 'Config', 'Labels') : (at(value, 'Labels') ?? at(value, 'Spec', 'Labels')))}`);
        continue;
      }
      const made = told.made.get(id);
      if (made && made !== owner.account) find(`was made by ${made.name} and lies with ${owner.account.name}`);
      const canSee = this.reach(owner, seen, ownerOf, find);
      if (kind === 'container') this.judgeContainer(value, owner, isTask, canSee, told, find);
      if (kind === 'network') this.judgeNetwork(value, owner, find);
      if (kind === 'volume') this.judgeVolume(value, owner, find);
      if (kind === 'secret' || kind === 'config') for (const name of ['Driver', 'Templating']) if (!isUnset(at(value, 'Spec', name))) find(`has ${name}`);
      if (kind === 'service') for (const spec of ['Spec', 'PreviousSpec']) if (value[spec]) this.judgeService(record(value[spec]), owner, canSee, (what) => find(`${spec}: ${what}`));
    }
    return wrong;
  }

  /** Names of an image that none of the accounts may have given to it. */
  private strangeNames(image: Json): string[] {
    const names = [...list(image['RepoTags']), ...list(image['RepoDigests'])].map(text);
    return names.filter((name) => !/^<none>[:@]<none>$/.test(name) && !this.pool.accounts.some((account) => name === `${account.repository}:kept` || name.startsWith(`${account.repository}:fz-${account.name}-`) || name.startsWith(`${account.repository}@`)));
  }

  /** Networks of the engine's own have guests that come and go; and the accounts may give names of their own to images that they see. */
  private steady(key: string, value: string): string {
    if (key.startsWith('image ') && value !== '') {
      const image = JSON.parse(value) as Json;
      return JSON.stringify({ ...image, RepoTags: null, RepoDigests: null, names: this.strangeNames(image).sort() });
    }
    if (!key.startsWith('network ') || value === '') return value;
    const network = JSON.parse(value) as Json;
    return engineNetworks.has(text(network['Name'])) ? JSON.stringify({ ...network, Containers: null, Peers: null }) : value;
  }

  private ownerBy(path: string, made: Account | undefined): Owner | null {
    const account = this.pool.accounts.find(({ collections }) => path in collections);
    if (!account || (made && made !== account)) return account && made ? { account, host: false, path } : null;
    return { account, host: account.collections[path]!, path };
  }

  /** Whether an object of this name or id is the owner's. What is not there (any more) only must not be a stranger's. */
  private reach(owner: Owner, seen: ReadonlyMap<string, Json>, ownerOf: (key: string) => Owner | null, find: (what: string) => void): Reach {
    return (kind, name, what, runs = false): void => {
      if (name === '' || (kind === 'network' && engineNetworks.has(name))) return;
      if (this.foreign.has(name)) {
        find(`${what} is a stranger's ${kind}: ${name}`);
        return;
      }
      for (const [key, value] of seen) {
        const [each, id = ''] = key.split(' ');
        const called = text(value['Name'] ?? at(value, 'Spec', 'Name')).replace(/^\//, '');
        if (each !== kind || (id !== name && called !== name)) continue;
        const other = ownerOf(key);
        if (other && other.account !== owner.account) find(`${what} is ${kind} ${name} of ${other.account.name}`);
        if (runs && other && restricted.has(other.path)) find(`${what} is ${kind} ${name}, in which its owner may run nothing`);
      }
    };
  }

  private judgeContainer(container: Json, owner: Owner, isTask: boolean, canSee: Reach, told: Told, find: (what: string) => void): void {
    const host = record(container['HostConfig']);
    const plain = record(this.plain['HostConfig']);
    if (text(at(container, 'Config', 'Image')) !== this.signed.reference || text(container['Image']) !== this.signed.id) find(`runs ${text(at(container, 'Config', 'Image'))} (${text(container['Image'])})`);
    for (const name of Object.keys(record(at(container, 'NetworkSettings', 'Networks')))) {
      if (name === 'host' && !owner.host) find('is in the network of the host');
      canSee('network', name, 'its network');
      canSee('network', text(at(container, 'NetworkSettings', 'Networks', name, 'NetworkID')), 'its network');
    }
    for (const mode of ['NetworkMode', 'PidMode', 'IpcMode']) {
      const value = text(host[mode]);
      if (value.startsWith('container:')) {
        canSee('container', value.slice('container:'.length), mode, true);
      } else if (mode === 'NetworkMode') canSee('network', value, mode);
      else if (!owner.host && !['', 'private', 'shareable', 'none'].includes(value)) find(`${mode} is ${value}`);
    }
    if (!owner.host && text(host['NetworkMode']) === 'host') find('NetworkMode is host');
    for (const mount of list(container['Mounts']).map(record)) {
      if (mount['Type'] === 'volume') {
        canSee('volume', text(mount['Name']), 'a mount');
        if (!owner.host && !['local', ''].includes(text(mount['Driver']))) find(`mounts ${JSON.stringify(mount)}`);
      } else if (mount['Type'] !== 'tmpfs' && !(owner.host && mount['Type'] === 'bind') && !(isTask && /\/containers\/[0-9a-f]{64}\/mounts\//.test(text(mount['Source'])))) find(`mounts ${JSON.stringify(mount)}`);
    }
    for (const bind of list(host['Binds']).map(text)) if (!owner.host && !/^[a-zA-Z0-9][^:/]*:\//.test(bind)) find(`Binds ${bind}`);
    for (const source of list(host['VolumesFrom']).map(text)) canSee('container', source.split(':')[0]!, 'VolumesFrom');
    for (const link of list(host['Links']).map(text)) canSee('container', link.split(':')[0]!.replace(/^\//, ''), 'Links');
    for (const exec of list(container['ExecIDs']).map(text)) {
      const who = told.execs.get(exec);
      if (who && who !== owner.account) find(`${who.name} has made an exec in it`);
      if (who && restricted.has(owner.path)) find(`${who.name} has made an exec in it, without the right to`);
    }
    if (owner.host) return;
    for (const [name, value] of Object.entries(host)) {
      if (!ownBusiness.has(name) && !judged.has(name) && !(isTask && name === 'CgroupParent') && JSON.stringify(value ?? null) !== JSON.stringify(plain[name] ?? null) && !(isUnset(value) && isUnset(plain[name]))) find(`HostConfig.${name} is ${JSON.stringify(value)}`);
    }
    const mounts = [...list(host['Mounts'])].map(record);
    for (const mount of mounts) if (this.mountReaches(mount)) find(`HostConfig.Mounts has ${JSON.stringify(mount)}`);
    if (!['', 'private', text(plain['UsernsMode'])].includes(text(host['UsernsMode']))) find(`UsernsMode is ${text(host['UsernsMode'])}`);
    if (!['private', text(plain['CgroupnsMode'])].includes(text(host['CgroupnsMode']))) find(`CgroupnsMode is ${text(host['CgroupnsMode'])}`);
    if (!this.harmlessLog(text(at(host, 'LogConfig', 'Type')), at(host, 'LogConfig', 'Config'))) find(`LogConfig is ${JSON.stringify(host['LogConfig'])}`);
    if (Number(host['OomScoreAdj'] ?? 0) < 0) find('OomScoreAdj is below 0');
    if (list(host['SecurityOpt']).some((option) => !/^no-new-privileges([:=]true)?$/.test(text(option)))) find(`SecurityOpt is ${JSON.stringify(host['SecurityOpt'])}`);
    if (list(host['VolumesFrom']).length > 0) find(`VolumesFrom is ${JSON.stringify(host['VolumesFrom'])}`);
    if (!['', 'local'].includes(text(host['VolumeDriver']))) find(`VolumeDriver is ${text(host['VolumeDriver'])}`);
    if (Object.keys(record(host['StorageOpt'])).some((name) => name !== 'size')) find(`StorageOpt is ${JSON.stringify(host['StorageOpt'])}`);
    if (host['OomKillDisable'] === true) find('OomKillDisable is set');
  }

  /** A mount as somebody wished it: whether it is more than a named volume, or memory. */
  private mountReaches(mount: Json): boolean {
    const driver = at(mount, 'VolumeOptions', 'DriverConfig');
    const source = text(mount['Source']);
    if (!['volume', 'tmpfs'].includes(text(mount['Type']))) return true;
    return /[/\\]/.test(source) || !isUnset(at(driver, 'Options')) || !['', 'local'].includes(text(at(driver, 'Name'))) || !isUnset(mount['BindOptions']);
  }

  private harmlessLog(type: string, options: unknown): boolean {
    return ['', 'json-file', 'local', 'journald', 'none'].includes(type) && !Object.keys(record(options)).some((name) => name.includes('address') || name.includes('url') || name.includes('path'));
  }

  private judgeService(spec: Json, owner: Owner, canSee: Reach, find: (what: string) => void): void {
    const task = record(spec['TaskTemplate']);
    const container = record(task['ContainerSpec']);
    if (text(container['Image']) !== this.signed.reference) find(`runs ${text(container['Image'])}`);
    for (const secret of list(container['Secrets']).map(record)) canSee('secret', text(secret['SecretID']), 'a secret');
    for (const config of list(container['Configs']).map(record)) canSee('config', text(config['ConfigID']), 'a config');
    canSee('config', text(at(container, 'Privileges', 'CredentialSpec', 'Config')), 'the credentials');
    for (const network of [...list(task['Networks']), ...list(spec['Networks'])].map(record)) {
      canSee('network', text(network['Target']), 'a network');
      const known = this.base.get(`network ${text(network['Target'])}`);
      const name = known === undefined ? text(network['Target']) : text((JSON.parse(known) as Json)['Name']);
      if (engineNetworks.has(name) && !owner.host) find(`is in the engine's network ${name}`);
      if (!owner.host && !isUnset(network['DriverOpts'])) find('has options of a network driver');
    }
    for (const mount of list(container['Mounts']).map(record)) {
      if (mount['Type'] === 'volume') canSee('volume', text(mount['Source']), 'a mount');
      if (!owner.host && this.mountReaches(mount)) find(`mounts ${JSON.stringify(mount)}`);
    }
    if (task['Runtime'] === 'plugin' || !isUnset(task['PluginSpec']) || !isUnset(task['NetworkAttachmentSpec'])) find('is no container');
    if (owner.host) return;
    for (const name of ['CapabilityAdd', 'Sysctls', 'Capabilities']) if (!isUnset(container[name])) find(`${name} is ${JSON.stringify(container[name])}`);
    for (const [name, value] of Object.entries(record(container['Privileges']))) {
      if (name !== 'NoNewPrivileges' && !isUnset(value) && !(['Seccomp', 'AppArmor'].includes(name) && isUnset(at(value, 'Profile')) && ['', 'default'].includes(text(at(value, 'Mode'))))) find(`Privileges.${name} is ${JSON.stringify(value)}`);
    }
    for (const part of ['Limits', 'Reservations']) if (list(at(task, 'Resources', part, 'GenericResources')).length > 0) find('has resources of nodes');
    if (!this.harmlessLog(text(at(task, 'LogDriver', 'Name')), at(task, 'LogDriver', 'Options'))) find(`LogDriver is ${JSON.stringify(task['LogDriver'])}`);
    if (Number(container['OomScoreAdj'] ?? 0) < 0) find('OomScoreAdj is below 0');
  }

  private judgeNetwork(network: Json, owner: Owner, find: (what: string) => void): void {
    if (network['Ingress'] === true) find('is the ingress network');
    if (owner.host) return;
    const options = Object.keys(record(network['Options'])).filter((name) => !['encrypted', 'com.docker.network.driver.mtu', 'com.docker.network.bridge.enable_icc', 'com.docker.network.driver.overlay.vxlanid_list'].includes(name));
    if (!['bridge', 'overlay'].includes(text(network['Driver'])) || network['ConfigOnly'] === true || !isUnset(network['ConfigFrom']) || options.length > 0) find(`is ${JSON.stringify(network)}`);
    // Engines choose from 172.16.0.0/12 and 192.168.0.0/16.
    if (network['Driver'] !== 'overlay' && list(at(network, 'IPAM', 'Config')).map(record).some(({ Subnet }) => text(Subnet).startsWith('10.21'))) find(`has chosen its addresses: ${JSON.stringify(network['IPAM'])}`);
    if (!['', 'default'].includes(text(at(network, 'IPAM', 'Driver'))) || !isUnset(at(network, 'IPAM', 'Options'))) find(`IPAM is ${JSON.stringify(network['IPAM'])}`);
  }

  private judgeVolume(volume: Json, owner: Owner, find: (what: string) => void): void {
    if (!isUnset(volume['ClusterVolume'])) find('is a volume of the cluster');
    if (!owner.host && (volume['Driver'] !== 'local' || !isUnset(volume['Options']))) find(`is ${JSON.stringify(volume)}`);
  }

  /** A volume that came with a mount: who wished for options has written their name in them. */
  private judgeMounted(volume: Json, find: (what: string) => void): void {
    const { folder } = this.pool.host;
    const allowed = this.pool.accounts.filter(({ collections }) => Object.values(collections).includes(true)).map(({ name }) => `${folder}/${name}`);
    if (volume['Driver'] !== 'local' || (!isUnset(volume['Options']) && !allowed.includes(text(at(volume, 'Options', 'device'))))) find(`is ${JSON.stringify(volume)}`);
  }
}

interface Owner {
  account: Account;
  /** Whether options that reach the host are allowed where it lies. */
  host: boolean;
  path: string;
}

/** @param runs whether something of the owner's would run beside, or inside, what is named */
type Reach = (kind: 'container' | 'network' | 'volume' | 'secret' | 'config', name: string, what: string, runs?: boolean) => void;
