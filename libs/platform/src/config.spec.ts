import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { ConfigError, isLoopback, loadConfig, settings } from './config';

const faults = (env: Record<string, string>): string[] => {
  try {
    loadConfig(env);
  } catch (error) {
    if (error instanceof ConfigError) return error.faults;
    throw error;
  }
  return [];
};

describe('loadConfig', () => {
  it('has working defaults', () => {
    const config = loadConfig({});
    expect(config).toMatchObject({ bind: '127.0.0.1', httpPort: 8080, registryPort: 5000, samplePort: 8081, publicUrl: 'http://127.0.0.1:8080', registryPublicHost: '127.0.0.1:5000', deployDeadlineSeconds: 600 });
  });

  it('lists all faults at once, naming variable and remedy, and never a secret', () => {
    const found = faults({ GANTRY_HTTP_PORT: '99999', GANTRY_LOG_LEVEL: 'loud', DATABASE_URL: 'mysql://user:hunter2@db', GANTRY_HTPT: '1' });
    expect(found).toHaveLength(4);
    expect(found.join('\n')).toMatch(/GANTRY_HTTP_PORT=99999[\s\S]*DATABASE_URL[\s\S]*GANTRY_LOG_LEVEL=loud[\s\S]*GANTRY_HTPT is not a setting/);
    expect(found.join('\n')).not.toContain('hunter2');
  });

  it('reads any variable from a file, but not from both', () => {
    const dir = mkdtempSync(join(tmpdir(), 'gantry-config-'));
    try {
      const file = join(dir, 'url');
      writeFileSync(file, 'postgres://u:pw@db/x\n');
      const config = loadConfig({ DATABASE_URL_FILE: file });
      expect(config.databaseUrl?.reveal()).toBe('postgres://u:pw@db/x');
      expect(inspect(config) + JSON.stringify(config)).not.toContain('pw@');
      expect(faults({ DATABASE_URL_FILE: file, DATABASE_URL: 'postgres://x' })).toEqual(['DATABASE_URL and DATABASE_URL_FILE are both set; keep one']);
      expect(faults({ DATABASE_URL_FILE: join(dir, 'none') })[0]).toMatch(/can't read .*ENOENT/);
    } finally {
      rmSync(dir, { recursive: true });
    }
  });

  it('refuses to bind beyond loopback without TLS or a trusted proxy, and two listeners on one port', () => {
    expect(faults({ GANTRY_BIND: '0.0.0.0' })[0]).toMatch(/beyond loopback/);
    expect(faults({ GANTRY_BIND: '0.0.0.0', GANTRY_ROLE: 'api' })[0]).toMatch(/beyond loopback/);
    // The gateway's only listener has TLS whatever is set.
    expect(faults({ GANTRY_BIND: '0.0.0.0', GANTRY_ROLE: 'gateway' })).toEqual([]);
    expect(faults({ GANTRY_BIND: '0.0.0.0', GANTRY_TRUSTED_PROXIES: '10.0.0.1' })).toEqual([]);
    expect(faults({ GANTRY_TLS_CERT_FILE: 'x' })[0]).toMatch(/go together/);
    expect(faults({ GANTRY_HTTP_PORT: '5000' })[0]).toMatch(/both 5000/);
    expect(['127.0.0.1', '::1', 'localhost', '127.9.9.9'].every(isLoopback)).toBe(true);
    expect(['0.0.0.0', '10.0.0.1', '1270.0.0.1', 'example.org'].some(isLoopback)).toBe(false);
  });

  it('takes the life of sessions in minutes, or in hours as before, and renews in the last third', () => {
    expect(loadConfig({})).toMatchObject({ sessionMinutes: 720, sessionRenewalMinutes: 240, sessionLimit: 20, tokenMaxDays: 731, certificateDays: 30, certificateLimit: 20 });
    expect(loadConfig({ GANTRY_SESSION_HOURS: '1' })).toMatchObject({ sessionMinutes: 60, sessionRenewalMinutes: 20 });
    expect(loadConfig({ GANTRY_SESSION_HOURS: '0.1' })).toMatchObject({ sessionMinutes: 6, sessionRenewalMinutes: 2 });
    expect(loadConfig({ GANTRY_SESSION_MINUTES: '60', GANTRY_SESSION_RENEWAL_MINUTES: '55', GANTRY_SESSION_LIMIT: '0' })).toMatchObject({ sessionMinutes: 60, sessionRenewalMinutes: 55, sessionLimit: 0 });
    expect(loadConfig({ GANTRY_SESSION_MINUTES: '10', GANTRY_SESSION_RENEWAL_MINUTES: '0' })).toMatchObject({ sessionRenewalMinutes: 0 });
    expect(faults({ GANTRY_SESSION_MINUTES: '60', GANTRY_SESSION_RENEWAL_MINUTES: '56' })[0]).toMatch(/at most the lifetime of a session less 5 minutes, here 55/);
    expect(faults({ GANTRY_SESSION_MINUTES: '60', GANTRY_SESSION_HOURS: '1' })[0]).toMatch(/both set/);
    expect(faults({ GANTRY_SESSION_MINUTES: '5' })[0]).toMatch(/GANTRY_SESSION_MINUTES=5/);
  });

  it('takes what belongs to forwarding the audit log together, or not at all', () => {
    expect(loadConfig({ GANTRY_AUDIT_SYSLOG_PORT: '' })).toMatchObject({ auditSyslog: null, auditRetentionDays: null });
    expect(loadConfig({ GANTRY_AUDIT_SYSLOG_HOST: 'log.example', GANTRY_AUDIT_SYSLOG_CA_FILE: '/ca', GANTRY_AUDIT_RETENTION_DAYS: '400' })).toMatchObject({
      auditSyslog: { host: 'log.example', port: 6514, caFile: '/ca', certFile: null, keyFile: null }, auditRetentionDays: 400,
    });
    expect(faults({ GANTRY_AUDIT_SYSLOG_HOST: 'h', GANTRY_AUDIT_SYSLOG_CERT_FILE: 'x' })[0]).toMatch(/go together/);
    expect(faults({ GANTRY_AUDIT_SYSLOG_CA_FILE: 'x' })[0]).toMatch(/not GANTRY_AUDIT_SYSLOG_HOST/);
    expect(faults({ GANTRY_AUDIT_RETENTION_DAYS: '0', GANTRY_AUDIT_SYSLOG_HOST: 'https://h/' })).toHaveLength(2);
  });

  it('takes which calls to engines are put on record', () => {
    const reads = (text?: string): string[] => [...loadConfig(text === undefined ? {} : { GANTRY_AUDIT_ENGINE_READS: text }).auditEngineReads];
    expect([reads(), reads('none'), reads('logs, copy')]).toEqual([['attach', 'copy', 'export', 'logs'], [], ['logs', 'copy']]);
    expect(faults({ GANTRY_AUDIT_ENGINE_READS: 'log' })[0]).toMatch(/GANTRY_AUDIT_ENGINE_READS/);
  });

  it('documents every setting', () => {
    for (const [name, setting] of Object.entries(settings)) expect([name, setting.help.length > 20]).toEqual([name, true]);
  });
});
