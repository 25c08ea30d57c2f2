import { Controller, Inject } from '@nestjs/common';
import { z } from 'zod';
import { Directory } from '@gantry/access';
import { In, Route, type Input } from '../http/route';
import { password } from './shapes';

const text = (max: number): z.ZodString => z.string().max(max).regex(/^[^\0\p{Cs}]*$/u, 'no NUL, no broken characters');
const url = text(300).regex(/^ldaps?:\/\/[^/?#@\s]+\/?$/i, 'ldap://host[:port] or ldaps://host[:port]');
const shared = {
  enabled: z.boolean(),
  startTls: z.boolean(),
  caPem: text(100_000).nullable(),
  bindDn: text(1_000).min(1),
  searchBase: text(1_000).min(1),
  usernameAttribute: z.string().regex(/^[A-Za-z][A-Za-z0-9-]{0,99}$/, 'an attribute’s name'),
  filter: text(2_000).min(1).nullable(),
  timeoutSeconds: z.number().int().min(1).max(60),
};
const settings = z.object({ ...shared, url: z.string(), bindDn: z.string(), searchBase: z.string(), version: z.number().int() });
const change = z.strictObject({
  ...shared, url, startTls: shared.startTls.default(false), caPem: shared.caPem.default(null), filter: shared.filter.default(null), usernameAttribute: shared.usernameAttribute.default('uid'),
  timeoutSeconds: shared.timeoutSeconds.default(5), enabled: shared.enabled.default(true),
  bindPassword: password.optional().describe('write-only; may be left out while address, encryption and reader stay as they are'),
});
const trial = z.strictObject({ username: z.string().min(1).max(256).optional(), password: password.optional() });
const report = z.object({
  ok: z.boolean(),
  code: z.string().nullable(),
  detail: z.string().nullable(),
  entries: z.number().int().nullable(),
  entry: z.object({ dn: z.string(), username: z.string(), displayName: z.string().nullable(), mail: z.string().nullable() }).nullable(),
});

/** The LDAP directory. */
@Controller('api/v1/ldap')
export class LdapController {
  constructor(@Inject(Directory) private readonly directory: Directory) {}

  @Route({ method: 'GET', summary: 'Directory settings', description: 'The reader’s password is never shown. Version 0: none are set.', operation: 'directory:view', scope: 'system', response: settings })
  get(@In() { ctx }: Input): Promise<unknown> {
    return this.directory.settings(ctx);
  }

  @Route({
    method: 'PUT', summary: 'Set the directory', description: 'Send the ETag of the settings as they were; `"0"` the first time.',
    operation: 'directory:update', scope: 'system', body: change, response: settings, ifMatch: true, audit: 'directory.update',
  })
  put(@In() { ctx, body, version }: Input<unknown, unknown, z.output<typeof change>>): Promise<unknown> {
    return this.directory.update(ctx, version, body);
  }

  @Route({
    method: 'POST', path: 'test', summary: 'Try the directory', description: 'Connects and signs in as the reader; with a user name and password also as that person, without making an account.',
    operation: 'directory:update', scope: 'system', body: trial, response: report, status: 200, audit: 'directory.test',
  })
  test(@In() { ctx, body }: Input<unknown, unknown, z.output<typeof trial>>): Promise<unknown> {
    return this.directory.test(ctx, body);
  }
}
