// What typed.ts takes from sale.js.
export interface Sale {
  show: string;
  seller: string;
  auditor: string;
  position: number;
  seats: number;
}
export const socketUrl: string;
export function open(name: string, seats: number): Promise<Sale>;
export function seat(
  sale: Sale,
  at: number,
): { input: { idempotencyKey: string; show: string; buyer: string; seats: string[] } };
export function within<T>(seconds: number, promise: Promise<T>): Promise<T>;
