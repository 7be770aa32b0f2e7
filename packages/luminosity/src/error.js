/** What the service refused, and why. */
export class LuminosityError extends Error {
  /**
   * @param {string} message
   * @param {{ status?: number, rejects?: { at: number, reason: string }[], cause?: unknown }} [details]
   */
  constructor(message, { status = 0, rejects = [], cause } = {}) {
    super(message, { cause });
    this.name = 'LuminosityError';
    /** The HTTP status; 0 when there was no answer. */
    this.status = status;
    /** Entries that were not taken. */
    this.rejects = rejects;
  }
}
