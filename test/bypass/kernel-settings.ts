import { type Attempt, hostConfigs } from './book';

export const attempt: Attempt = {
  title: 'set what holds for more than the container',
  source: 'options beside the famous ones',
  try: (world) =>
    hostConfigs(world, [
      { Sysctls: { 'kernel.core_pattern': '|/x' } }, { Sysctls: { 'net.ipv4.ip_forward': '' } }, { CgroupParent: '/' },
        { CgroupParent: '../..' }, { OomScoreAdj: -1000 }, { OomKillDisable: true }, { CpuRealtimeRuntime: 1 },
        { StorageOpt: { 'dm.x': '1' } },
      { LogConfig: { Type: 'syslog', Config: { 'syslog-address': 'tcp://127.0.0.1:1' } } }, { LogConfig: { Type: 'gelf',
        Config: { 'gelf-address': 'udp://127.0.0.1:1' } } }, { LogConfig: { Type: 'fluentd' } }, { LogConfig: { Type: 'json-file',
        Config: { 'unknown-option': 'x' } } },
    ]),
};
