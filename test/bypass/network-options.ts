import { type Attempt, each, v } from './book';

export const attempt: Attempt = {
  title: 'make networks that reach the host’s interfaces',
  source: 'drivers and options of networks that take an interface or an address of the host',
  try: (world) =>
    each(
      [
        { Driver: 'macvlan', Options: { parent: 'eth0' } }, { Driver: 'ipvlan' }, { Driver: 'host' }, { Driver: 'null' },
          { Driver: 'BRIDGE' }, { Ingress: true, Driver: 'overlay' }, { Options: { 'com.docker.network.bridge.name': 'docker0' } },
        { Options: { 'com.docker.network.bridge.host_binding_ipv4': '0.0.0.0' } },
          { Options: { 'com.docker.network.bridge.inhibit_ipv4': '' } }, { IPAM: { Driver: 'evil' } }, { IPAM: { Driver: 'default',
          Options: { x: 'y' } } }, { IPAM: { Config: [{ Subnet: '169.254.169.0/24' }] } }, { Driver: 'bridge', Internal: true,
          IPAM: { Driver: 'default', Config: [{}, { Subnet: '10.99.0.0/24', Gateway: '10.99.0.53' }] } }, { ConfigOnly: true }, { ConfigFrom: { Network: world.foreign[0]!.network.name } },
        { ConfigFrom: { Network: world.foreign[1]!.network.id }, Driver: 'macvlan' },
      ],
      (change) => world.call('POST', `${v}/networks/create`, { Name: `tried-${world.count()}`, ...change }),
    ),
};
