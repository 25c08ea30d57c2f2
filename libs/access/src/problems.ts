import { defineProblems } from '@gantry/platform';

/** Problems of accounts, signing in and the directory. */
export const accessProblem = defineProblems('access', {
  'wrong-credentials': {
    kind: 'unauthenticated',
    title: 'Wrong user name or password',
    description: 'Check both; a deactivated account can’t sign in either.',
  },
  'wrong-current-password': { kind: 'forbidden', title: 'The current password is not right', description: 'Send the password with which you sign in now.' },
  'second-factor-required': {
    kind: 'unauthenticated',
    title: 'A code is needed as well',
    description: 'The password is right. Send it again together with `code`: six digits of your authenticator, or one of your recovery codes.',
  },
  'wrong-code': {
    kind: 'unauthenticated',
    title: 'The code is not right',
    description: 'Send the code that your authenticator shows now; each works once. A recovery code does as well. Check the clock of your device.',
  },
  'wrong-current-code': {
    kind: 'forbidden',
    title: 'The code is not right',
    description: 'Send the code that your authenticator shows now; each works once. Check the clock of your device.',
  },
  'token-needed': {
    kind: 'unauthenticated',
    title: 'This account signs in here with a token only',
    description: 'It has a second factor, so its password is not enough. Make a personal token (`POST /api/v1/tokens`) and use it in the password’s place.',
  },
  'second-factor-on': { kind: 'conflict', title: 'There is a second factor already', description: 'Disable it first to set up another device.' },
  'second-factor-off': { kind: 'conflict', title: 'There is no second factor', description: 'Nothing to do; the account signs in with its password.' },
  'second-factor-not-begun': {
    kind: 'conflict',
    title: 'No second factor waits for its first code',
    description: 'Begin anew with `POST /api/v1/me/second-factor`; a secret waits for an hour.',
  },
  'second-factor-not-local': {
    kind: 'conflict',
    title: 'This account signs in with another source',
    description: 'Second factors are for local accounts; set one up in the directory.',
  },
  'too-many-failures': {
    kind: 'rate-limited',
    title: 'Too many failed sign-ins',
    description: 'Wait as long as `Retry-After` says, then try again.',
  },
  'name-taken': {
    kind: 'conflict',
    title: 'The name belongs to another account',
    description: 'Names are unique over users, robots and organizations of every source, without regard to case. Choose another name.',
  },
  'name-reserved': { kind: 'invalid', title: 'The name is reserved', description: 'Choose another name.' },
  'name-invalid': {
    kind: 'invalid',
    title: 'This can’t be a name',
    description: 'Use 1 to 63 letters, digits and single `.`, `_` or `-` between them.',
  },
  'namespace-set': { kind: 'conflict', title: 'The account has a namespace already', description: 'A namespace is set once; repositories live under it.' },
  'namespace-invalid': {
    kind: 'invalid',
    title: 'This can’t be a namespace',
    description: 'Use 1 to 63 lower-case letters, digits and separators (`.`, `_`, `__` or `-`) between them; the name must not be reserved.',
  },
  'password-rule': { kind: 'invalid', title: 'The password breaks the rule', description: 'Use 12 to 1024 characters.' },
  'password-not-local': {
    kind: 'conflict',
    title: 'The password is not kept here',
    description: 'This account signs in with another source; change the password there.',
  },
  'not-a-user': { kind: 'invalid', title: 'This account is not a user', description: 'Only users can be members, sign in, and hold personal tokens.' },
  'last-admin': {
    kind: 'conflict',
    title: 'This is the last administrator who can sign in',
    description: 'Make another local user an administrator first.',
  },
  'team-name-taken': { kind: 'conflict', title: 'The organization has a team of this name', description: 'Choose another name.' },
  'member-of-directory': {
    kind: 'conflict',
    title: 'This membership comes from the directory',
    description: 'Take the person out of the group there, or change the team’s synchronisation.',
  },
  'role-name-taken': { kind: 'conflict', title: 'Another role has this name', description: 'Choose another name.' },
  'role-operation': { kind: 'invalid', title: 'A role can’t hold this operation', description: 'Name operations of the catalogue that are not for administrators alone.' },
  'role-built-in': { kind: 'conflict', title: 'Built-in roles don’t change', description: 'Clone the role and change the clone.' },
  'role-granted': { kind: 'conflict', title: 'The role is in use', description: 'Take its grants back, or give another role in their place, then delete it.' },
  'collection-taken': { kind: 'conflict', title: 'There is a collection of this path', description: 'Choose another name.' },
  'collection-depth': { kind: 'invalid', title: 'The collection would lie too deep', description: 'At most 15 levels are possible; choose a place further up.' },
  'collection-built-in': {
    kind: 'conflict',
    title: 'This collection is fixed',
    description: 'Built-in collections and those of accounts are neither renamed nor deleted; make one below.',
  },
  'collection-not-empty': { kind: 'conflict', title: 'The collection is not empty', description: 'Move or delete what is in it, then delete it.' },
  'foreign-collection': {
    kind: 'conflict',
    title: 'The collection belongs to another account',
    description: 'An account’s own collection holds what belongs to that account. Choose a collection that nobody owns.',
  },
  'limits-exceeded': {
    kind: 'forbidden',
    title: 'The new token would allow more than the one you use',
    description: 'Name operations and repositories that your own token allows, or sign in with your password.',
  },
  'token-limits': {
    kind: 'invalid',
    title: 'A robot needs limits',
    description: 'Name the operations that the robot may do in `limits.operations`.',
  },
  'token-expiry': { kind: 'invalid', title: 'The token’s end is out of range', description: 'Choose a time in the future, no further away than the setting `GANTRY_TOKEN_MAX_DAYS` allows.' },
  'certificate-owner': { kind: 'forbidden', title: 'Only users and robots have certificates', description: 'Sign in as a user, or use a robot’s token.' },
  'certificate-lifetime': {
    kind: 'invalid',
    title: 'The certificate’s lifetime is out of range',
    description: 'Choose a minute at least and no more than the setting `GANTRY_CERTIFICATE_DAYS` allows.',
  },
  'directory-misconfigured': {
    kind: 'unavailable',
    title: 'The directory refuses our settings',
    description: 'An administrator has to correct the directory settings (reader account, search base or filter).',
  },
  'directory-unavailable': {
    kind: 'unavailable',
    title: 'The directory does not answer',
    description: 'Try again later; local accounts can still sign in.',
  },
  'directory-off': { kind: 'conflict', title: 'No directory is in use', description: 'Set the directory and enable it first.' },
  'hold-over': { kind: 'conflict', title: 'These removals are held no longer', description: 'They were confirmed, have happened, or are not wanted any more.' },
  'directory-password-needed': {
    kind: 'invalid',
    title: 'Send the reader’s password again',
    description: 'The address, the way of connecting or the reader has changed; the stored password is not sent to another place.',
  },
});
