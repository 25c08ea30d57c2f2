import { externalObjects, hostAffecting } from './effective';
import { parseCompose } from './parse';

function file(text: string) {
  const result = parseCompose(text, { variables: {} });
  if (!result.ok) throw new Error(JSON.stringify(result.errors));
  return result.file;
}

describe('hostAffecting', () => {
  it('finds nothing in an ordinary service', () => {
    expect(
      hostAffecting(
        file(`services:
  web: {image: a, volumes: ["v:/v", "t:/t", /anon], tmpfs: /run, ports: ["80:80"], cap_drop: [ALL], networks: [n],
    logging: {driver: json-file, options: {max-size: 1m}}, ulimits: {nofile: 5}}
  two: {image: a, logging: {options: {max-size: 1m}}}
volumes: {v: {labels: {a: b}}, t: {driver: local, driver_opts: {type: tmpfs, device: tmpfs, o: "size=64m,mode=700,nosuid"}}}
networks: {n: {driver: overlay, driver_opts: {encrypted: ""}}}
`),
      ),
    ).toEqual([]);
  });

  it('names every wish with its place', () => {
    expect(
      hostAffecting(
        file(`services:
  web:
    image: a
    volumes: ["v:/v", "/etc:/etc", {type: bind, source: /, target: /host}]
    cap_add: [SYS_ADMIN]
    sysctls: {kernel.shmmax: 1}
    networks: [h, p]
    logging: {driver: syslog, options: {syslog-address: "unix:///run/x.sock"}}
volumes: {v: {driver: rexray}}
networks: {h: {external: {name: host}}, p: {driver: weave, ipam: {driver: infoblox}}}
`),
      ),
    ).toEqual([
      { service: 'web', option: 'volume-driver', detail: 'rexray', pointer: '/volumes/v/driver' },
      { service: 'web', option: 'bind-mount', detail: '/etc', pointer: '/services/web/volumes/1' },
      { service: 'web', option: 'bind-mount', detail: '/', pointer: '/services/web/volumes/2' },
      { service: 'web', option: 'capability', detail: 'CAP_SYS_ADMIN', pointer: '/services/web/cap_add' },
      { service: 'web', option: 'sysctl', detail: 'kernel.shmmax', pointer: '/services/web/sysctls' },
      { service: 'web', option: 'host-network', detail: 'host', pointer: '/networks/h' },
      { service: 'web', option: 'network-driver', detail: 'weave', pointer: '/networks/p/driver' },
      { service: 'web', option: 'network-driver', detail: 'infoblox', pointer: '/networks/p/ipam/driver' },
      { service: 'web', option: 'logging-driver', detail: 'syslog', pointer: '/services/web/logging' },
    ]);
  });

  it.each([
    '{type: none, device: /, o: bind}',
    '{type: tmpfs, device: /, o: bind}',
    '{type: tmpfs, device: tmpfs, o: "size=1m,bind"}',
    '{type: tmpfs, device: tmpfs, o: rbind}',
    '{type: tmpfs, device: /dev/sda1}',
    '{type: ext4, device: /dev/sda1}',
    '{type: nfs, o: "addr=10.0.0.1", device: ":/x"}',
    '{device: /etc}',
    '{type: tmpfs, device: tmpfs, unknown: x}',
    '{type: "tmpfs ", device: tmpfs}',
  ])('takes the local driver with %s for a host mount', (options) => {
    expect(hostAffecting(file(`services: {web: {image: a, volumes: ["v:/v"]}}\nvolumes: {v: {driver_opts: ${options}}}`))).toMatchObject([
      { option: 'volume-driver', pointer: '/volumes/v/driver_opts' },
    ]);
  });

  it.each(['{external: true}', '{external: true, name: host}', '{name: host}'])('sees the network of the node behind %s', (network) => {
    expect(hostAffecting(file(`services: {web: {image: a, networks: [host]}}\nnetworks: {host: ${network}}`))).toMatchObject([
      { option: 'host-network' },
    ]);
  });

  it('does not take a network of the stack that is only called host for the node', () => {
    expect(hostAffecting(file('services: {web: {image: a, networks: [host]}}\nnetworks: {host: {}}'))).toEqual([]);
  });

  it('judges the default logging driver by its options', () => {
    expect(hostAffecting(file('services: {web: {image: a, logging: {options: {syslog-address: "tcp://127.0.0.1:1"}}}}'))).toMatchObject([
      { option: 'logging-driver' },
    ]);
  });
});

describe('externalObjects', () => {
  it('lists what the file names by itself', () => {
    expect(
      externalObjects(
        file(`services: {web: {image: a, networks: [n], volumes: ["v:/v"]}}
networks: {n: {external: true}}
volumes: {v: {name: other_data}}
configs: {c: {external: {name: x}}, own: {content: x}}
secrets: {s: {external: true, name: y}}
`),
      ),
    ).toEqual([
      { kind: 'network', name: 'n', external: true, pointer: '/networks/n' },
      { kind: 'volume', name: 'other_data', external: false, pointer: '/volumes/v' },
      { kind: 'config', name: 'x', external: true, pointer: '/configs/c' },
      { kind: 'secret', name: 'y', external: true, pointer: '/secrets/s' },
    ]);
  });
});
