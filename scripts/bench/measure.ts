// Runs a command and measures it as the system sees it: wall time, processor time and peak memory.
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'

export type Measured = { readonly wall_s: number; readonly peak_mb: number; readonly stdout: string }

/** Peak resident memory of a running process in MB (VmHWM), 0 if it is gone. */
export function peakOf_mb(pid: number): number {
  try {
    return Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024
  } catch {
    return 0
  }
}

/** Runs to the end. The peak is read every few milliseconds; it only grows, so the last reading is the peak but for the very end. */
export function measure(command: string, parameters: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Measured> {
  return new Promise((resolve, reject) => {
    const start_ms = performance.now()
    const child = spawn(command, parameters, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
    let stdout = ''
    let stderr = ''
    let peak_mb = 0
    child.stdout.on('data', (part: Buffer) => {
      stdout += part.toString()
    })
    child.stderr.on('data', (part: Buffer) => {
      stderr = (stderr + part.toString()).slice(-2000)
    })
    const timer = setInterval(() => {
      if (child.pid !== undefined) peak_mb = Math.max(peak_mb, peakOf_mb(child.pid))
    }, 10)
    child.on('error', reject)
    child.on('close', code => {
      clearInterval(timer)
      const wall_s = (performance.now() - start_ms) / 1000
      if (code === 0) resolve({ wall_s, peak_mb, stdout })
      else reject(new Error(`${command} ${parameters.join(' ')} ended with ${code}: ${stderr}`))
    })
  })
}

export const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN
