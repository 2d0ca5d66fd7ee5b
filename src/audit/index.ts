/** `sealwire/audit`: write an audit log. */

export { AuditLog, type AuditLogOptions } from './write/audit-log.js';
