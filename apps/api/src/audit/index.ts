import { AuditController } from './audit.controller';

/** Controllers of the audit log. */
export const auditControllers = [AuditController];
