declare module 'passport-ldapauth' {
  import type { ConnectionOptions } from 'node:tls';

  /** The options of ldapauth-fork 5 that are used here. */
  interface ServerOptions {
    url: string;
    bindDN: string;
    bindCredentials: string;
    searchBase: string;
    searchFilter: string;
    searchScope: 'sub' | 'one';
    searchAttributes: string[];
    includeRaw: boolean;
    reconnect: boolean;
    timeout: number;
    connectTimeout: number;
    strictDN: boolean;
    tlsOptions?: ConnectionOptions;
  }

  interface StrategyOptions {
    server: ServerOptions;
    credentialsLookup(request: unknown): { username: string; password: string };
  }

  /** The words that the strategy answers with, in place of its English ones. */
  interface AuthenticateOptions {
    badRequestMessage?: string;
    invalidCredentials?: string;
    userNotFound?: string;
    noSuchObject?: string;
    constraintViolation?: string;
    invalidLogonHours?: string;
    invalidWorkstation?: string;
    passwordExpired?: string;
    accountDisabled?: string;
    accountExpired?: string;
    passwordMustChange?: string;
    accountLockedOut?: string;
  }

  /** passport sets the three answers on the instance before it calls `authenticate`. */
  class Strategy {
    constructor(options: StrategyOptions);
    success: (user: unknown) => void;
    fail: (challenge: unknown, status?: number) => void;
    error: (error: unknown) => void;
    authenticate(request: unknown, options: AuthenticateOptions): void;
  }
  export = Strategy;
}
