import { childPath, composeKeys, findRule, keysOf } from './keys';

describe('the table of Compose keys', () => {
  it('gives a reason for whatever is not done, and types for what is', () => {
    for (const [path, rule] of composeKeys) {
      if (rule.status === 'supported') expect([path, rule.types.length > 0, rule.reason]).toEqual([path, true, '']);
      else expect([path, rule.types.length, rule.reason.length > 10]).toEqual([path, 0, true]);
    }
  });

  it('hangs together: each row is below supported rows, and each list and free map has an item', () => {
    const types = new Set(['object', 'array', 'string', 'integer', 'number', 'boolean', 'null']);
    for (const [path, rule] of composeKeys) {
      for (const type of rule.types) expect(types).toContain(type);
      const parent = path.replace(/(\[\]|\.[^.]+)$/, '');
      if (parent !== path) expect([path, composeKeys.get(parent)?.status]).toEqual([path, 'supported']);
      if (rule.types.includes('array')) expect([path, composeKeys.has(`${path}[]`)]).toEqual([path, true]);
      const below = [...composeKeys.keys()].some((other) => other.startsWith(`${path}.`));
      expect([path, below]).toEqual([path, rule.types.includes('object')]);
    }
  });

  // The keys of the Compose specification (mid-2026) and of the stack file format 3.13; those below a refused or ignored key left out.
  const published = {
    '': 'version name include models services networks volumes configs secrets',
    'services.*':
      'annotations attach blkio_config build cap_add cap_drop cgroup cgroup_parent cgroupns_mode command configs container_name ' +
      'cpu_count cpu_percent cpu_period cpu_quota cpu_rt_period cpu_rt_runtime cpu_shares cpus cpuset credential_spec ' +
      'depends_on deploy develop device_cgroup_rules devices dns dns_opt dns_search domainname entrypoint env_file environment ' +
      'expose extends external_links extra_hosts gpus group_add healthcheck hostname image init ipc isolation label_file labels ' +
      'links logging mac_address mem_limit mem_reservation mem_swappiness memswap_limit models network_mode networks ' +
      'oom_kill_disable oom_score_adj pid pids_limit platform ports post_start pre_stop privileged profiles provider ' +
      'pull_policy pull_refresh_after read_only restart runtime scale secrets security_opt shm_size stdin_open ' +
      'stop_grace_period stop_signal storage_opt sysctls tmpfs tty ulimits use_api_socket user userns_mode uts volumes ' +
      'volumes_from working_dir',
    'services.*.deploy': 'endpoint_mode labels mode placement replicas resources restart_policy rollback_config update_config',
    'services.*.deploy.placement': 'constraints max_replicas_per_node preferences',
    'services.*.deploy.resources.limits': 'cpus memory pids',
    'services.*.deploy.resources.reservations': 'cpus memory devices generic_resources',
    'services.*.deploy.restart_policy': 'condition delay max_attempts window',
    'services.*.deploy.update_config': 'delay failure_action max_failure_ratio monitor order parallelism',
    'services.*.deploy.rollback_config': 'delay failure_action max_failure_ratio monitor order parallelism',
    'services.*.healthcheck': 'disable interval retries start_interval start_period test timeout',
    'services.*.logging': 'driver options',
    'services.*.networks.*': 'aliases driver_opts gw_priority interface_name ipv4_address ipv6_address link_local_ips mac_address priority',
    'services.*.ports[]': 'app_protocol host_ip mode name protocol published target',
    'services.*.configs[]': 'gid mode source target uid',
    'services.*.secrets[]': 'gid mode source target uid',
    'services.*.ulimits.*': 'hard soft',
    'services.*.volumes[]': 'bind consistency image read_only source target tmpfs type volume',
    'services.*.volumes[].bind': 'create_host_path propagation recursive selinux',
    'services.*.volumes[].volume': 'labels nocopy subpath',
    'services.*.volumes[].tmpfs': 'mode size',
    'networks.*': 'attachable driver driver_opts enable_ipv4 enable_ipv6 external internal ipam labels name',
    'networks.*.ipam': 'config driver options',
    'networks.*.ipam.config[]': 'aux_addresses gateway ip_range subnet',
    'volumes.*': 'driver driver_opts external labels name x-cluster-spec',
    'configs.*': 'content environment external file labels name template_driver',
    'secrets.*': 'driver driver_opts environment external file labels name template_driver',
  };

  it.each(Object.entries(published))('classifies every key of "%s"', (path, keys) => {
    for (const key of keys.split(' '))
      expect([key, childPath(path, key), findRule(childPath(path, key) ?? '') !== null]).toEqual([
        key,
        path === '' ? key : `${path}.${key}`,
        true,
      ]);
  });

  it('lets a refused or ignored key speak for what is below it, and knows nothing else', () => {
    expect(findRule('services.*.build.args.*')?.status).toBe('ignored');
    expect(findRule('volumes.*.x-cluster-spec.access_mode.scope')?.status).toBe('refused');
    expect(findRule('services.*.gpus[].options.*')?.status).toBe('refused');
    expect(findRule('services.*.image.more')).toBeNull();
    expect(findRule('nonsense')).toBeNull();
    expect(childPath('', 'services.*.image')).toBeNull();
    expect(childPath('services.*', '*')).toBeNull();
    expect(childPath('services.*.environment', 'ANY.thing*[]')).toBe('services.*.environment.*');
    expect(keysOf('services.*.deploy.restart_policy')).toEqual(['condition', 'delay', 'max_attempts', 'window']);
  });
});
