import { type Attempt, kitBuild, proto, protoMap } from './book';

export const attempt: Attempt = {
  title: 'have BuildKit write where it should not, and with more than a build may have',
  source: 'CVE-2024-23653: entitlements that nobody checked; outputs that push, or write on the engine’s own disk',
  async try(world) {
    const name = `${world.registry}/ann/stolen:one`;
    const replies = [];
    const output = (type: string, attrs: Readonly<Record<string, string>>): [number, string | Buffer][] => [[3, type], ...protoMap(4, attrs), [13, proto([1, type], ...protoMap(2, attrs))]];
    const moby = output('moby', { name });
    const bobs = `${world.registry}/bob/stolen:one`;
    const orders: [number, string | number | Buffer][][] = [
      output('image', { name, push: 'true' }), output('registry', { name }), output('oci', {}), output('docker', { name }), output('local', { dest: '/' }), output('tar', { dest: '/x' }), output('moby', { name: bobs }), output('moby', { name: `${name},${bobs}` }),
      output('moby', { name: '' }), output('moby', {}), output('moby', { name, 'dangling-name-prefix': world.images.signed }), output('moby', { name, 'name-canonical': 'true' }),
      [...moby, [13, proto([1, 'image'], ...protoMap(2, { name: bobs, push: 'true' }))]], [[3, 'moby'], ...protoMap(4, { name }), [13, proto([1, 'image'], ...protoMap(2, { name, push: 'true' }))]], [...moby, [9, 'security.insecure']], [...moby, [9, 'device']],
      [...moby, [14, 1]], [...moby, [8, proto([4, proto([1, 'registry'], ...protoMap(2, { ref: bobs }))])]], [...moby, [8, proto([4, proto([1, 'local'], ...protoMap(2, { dest: '/' }))])]], [...moby, [8, proto([1, bobs])]],
    ];
    for (const [at, more] of orders.entries()) replies.push(...(await world.buildkit((session) => kitBuild(`o${at}`, session, name, { order: proto([1, `o${at}`], [5, session], ...more) }))));
    const options: Record<string, string>[] = [
      { 'force-network-mode': 'host' }, { 'force-network-mode': `container:${world.foreign[0]!.container.id}` }, { 'cgroup-parent': '/' }, { context: `http://${world.registry}/x.tar` }, { contextkey: 'dockerfile' }, { dockerfilekey: 'context' }, { 'context:x': 'local:home' },
      { 'build-arg:BUILDKIT_SANDBOX_HOSTNAME': 'x' }, { 'build-arg:buildkit_context_keep_git_dir': '1' }, { devices: 'all' }, { 'build-arg:BUILDKIT_CACHE_MOUNT_NS': 'bob' }, { 'cache-imports': '[{"Type":"local","Attrs":{"src":"/"}}]' }, { 'local-sessionid:context': 'x' },
      { 'add-hosts': 'a=b,c' }, { 'attest:sbom': `generator=${world.images.hidden}` }, { requestid: 'frontend.outline' }, { filename: '../../etc/passwd' },
    ];
    for (const [at, more] of options.entries()) {
      const solve = proto([2, 'dockerfile.v0'], ...protoMap(3, { filename: 'Dockerfile', ...more }));
      replies.push(...(await world.buildkit((session) => kitBuild(`n${at}`, session, name, { solve }))));
    }
    // What is in the Dockerfile is judged here as it is everywhere.
    const { hidden, unsigned, signed } = world.images;
    for (const text of [`FROM ${unsigned}\n`, `FROM ${hidden}\n`, `FROM scratch\nCOPY --from=${hidden} / /\n`, `FROM ${signed}\nRUN --network=host true\n`, `FROM ${signed}\nRUN --security=insecure true\n`, `# syntax=${hidden}\nFROM ${signed}\n`, `FROM ${signed}\nRUN --mount=from=${hidden},target=/x cp -r /x /y\n`, `FROM scratch\nADD http://${world.registry}/v2/ /x\n`]) {
      replies.push(...(await world.buildkit((session) => kitBuild('d', session, name), text)));
    }
    return replies;
  },
};
