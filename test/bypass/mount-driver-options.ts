import { type Attempt, type Json, containerSpecs, hostConfigs } from './book';

const options = [{ type: 'none', o: 'bind', device: '/' }, { o: 'bind', device: '/var/run' }, { device: '' }];
const mount = (Options: Json, Name: string): Json => ({ Mounts: [{ Type: 'volume', Target: '/host', VolumeOptions: { DriverConfig: { Name,
  Options } } }] });

export const attempt: Attempt = {
  title: 'bind a path of the host by the driver options of a mount',
  source: 'CVE-2026-44849: `Type: volume` with driver options was taken for a volume',
  async try(world) {
    const mounts = options.flatMap((each) => ['local', ''].map((name) => mount(each, name)));
    return [...(await hostConfigs(world, mounts)), ...(await containerSpecs(world, mounts))];
  },
};
