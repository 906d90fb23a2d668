// `ringcore doctor`: why a ring can or can't be made here, step by step, each with its cure.
// Flow: main.ts → this → driver, ring (Ring, unavailable.ts), runtime (Uring).
//
// Each step makes the real thing: a version number, a sysctl or a filter's presence says only what might happen.

import { release } from 'node:os'
import { available } from '../ring/probe.ts'
import { Ring } from '../ring/ring.ts'
import {
  disabledByEnvironment,
  explainObstacle,
  type RingSyscall,
  readSystemFacts,
  type SystemFacts,
} from '../ring/unavailable.ts'
import { Uring } from '../runtime/uring.ts'
import * as abi from '../sys/abi.ts'
import type { Driver } from '../sys/driver.ts'
import { openDriver } from '../sys/open-driver.ts'
import { closeFd } from '../sys/syscalls.ts'
import { paint, print, printJson, table } from './print.ts'

interface Finding {
  /** `warning` does not stand in the way of a ring; `skipped` needs a step that failed. */
  status: 'ok' | 'failed' | 'warning' | 'skipped'
  detail: string
  /** What to do about a failure or warning. */
  cure?: string
}

interface Step extends Finding {
  name: string
}

/** What earlier steps made for later ones. */
interface Patient {
  /** Read before anything can go wrong: without a free descriptor /proc can't be read. */
  readonly facts: SystemFacts
  driver?: Driver
  /** A ring's bare descriptor. */
  fd?: number
}

type Check = (patient: Patient) => Finding | Promise<Finding>

const NODE_MIN = [20, 19] as const

const ok = (detail: string): Finding => ({ status: 'ok', detail })
const failed = (detail: string, cure: string): Finding => ({ status: 'failed', detail, cure })
const warning = (detail: string, cure: string): Finding => ({ status: 'warning', detail, cure })

function checkPlatform(): Finding {
  const { platform, arch } = process
  if (platform !== 'linux') {
    return failed(
      `${platform} has no io_uring: it is an interface of the Linux kernel`,
      'use Linux, or node:fs and node:net',
    )
  }
  if (arch !== 'x64' && arch !== 'arm64') {
    return failed(`no native part is made for ${arch}`, 'use x64 or arm64')
  }
  return ok(`Linux ${release()}, ${arch}`)
}

function checkNode(): Finding {
  const { node } = process.versions
  const [major = 0, minor = 0] = node.split('.').map(Number)
  const isNewEnough = major > NODE_MIN[0] || (major === NODE_MIN[0] && minor >= NODE_MIN[1])
  if (isNewEnough) return ok(`Node ${node}`)
  return failed(`Node ${node} is older than ${NODE_MIN.join('.')}`, 'install a newer Node')
}

function checkEnvironment(): Finding {
  const obstacle = disabledByEnvironment()
  return obstacle ? failed(obstacle.reason, obstacle.cure) : ok('RINGCORE_DISABLE is not set')
}

function checkDriver(patient: Patient): Finding {
  patient.driver = openDriver()
  return ok('loaded')
}

/** Our messages end in the cure: "Cannot …: cause; cure". */
function failedWith(error: unknown): Finding {
  const message = (error as Error).message.replace(/^Cannot create a ring: /, '')
  const at = message.indexOf('; ')
  if (at < 0) return failed(message, 'report it')
  return failed(message.slice(0, at), message.slice(at + 2))
}

/** Says what a failed system call means. */
function obstacle(call: RingSyscall, result: number, { facts }: Patient): Finding {
  const { code, reason, cure } = explainObstacle(call, result, facts)
  return failed(`${code}: ${reason}`, cure)
}

function checkSetup(patient: Patient): Finding {
  const fd = patient.driver!.setup(4, new Uint8Array(120))
  if (fd < 0) return obstacle('io_uring_setup', fd, patient)
  patient.fd = fd
  return ok('made a ring of 4 entries')
}

function checkEnter(patient: Patient): Finding {
  const { driver, fd } = patient
  const result = driver!.enter(fd!, 0, 0, abi.IORING_ENTER_GETEVENTS, 0, 0)
  return result < 0 ? obstacle('io_uring_enter', result, patient) : ok('entered it')
}

function checkRegister(patient: Patient): Finding {
  const { driver, fd } = patient
  const OPS = 256
  const probe = new Uint8Array(16 + OPS * 8)
  const result = driver!.register(fd!, abi.IORING_REGISTER_PROBE, driver!.addressOf(probe), OPS)
  return result < 0
    ? obstacle('io_uring_register', result, patient)
    : ok(`asked it for its opcodes: it has ${probe[1]}`)
}

function checkRoundTrip(): Finding {
  const ring = new Ring({ entries: 4 })
  try {
    // A cleared SQE is a NOP.
    ring.getSqe()
    ring.submitAndWait(1)
    let seen: number | undefined
    ring.forEachCqe((_userData, _high, res) => {
      seen = res
    })
    return seen === 0
      ? ok('a NOP went down and its CQE came back')
      : failed(`the NOP's result is ${seen}`, 'report it')
  } finally {
    ring.close({ cancel: true })
  }
}

function checkLimits({ facts }: Patient): Finding {
  const { memlock, nofile } = facts
  const ENTRIES = 4096
  try {
    new Ring({ entries: ENTRIES }).close()
    return ok(`a ring of ${ENTRIES} entries fits: RLIMIT_MEMLOCK ${memlock}, RLIMIT_NOFILE ${nofile}`)
  } catch (error) {
    const { detail, cure } = failedWith(error)
    return warning(`a ring of ${ENTRIES} entries does not fit: ${detail}`, cure!)
  }
}

async function checkRuntime(): Promise<Finding> {
  const { available: isAvailable, reason, cure } = available('runtime')
  if (!isAvailable) return warning(`Uring, fs and net don't work: ${reason}`, cure!)
  try {
    const ring = new Uring()
    await ring.nop()
    await ring.close()
    return ok('a promise settled: Uring, fs and net work')
  } catch (error) {
    const { detail, cure } = failedWith(error)
    return warning(`Uring, fs and net don't work: ${detail}`, cure!)
  }
}

/** The steps in order; each but the first stands on those before it. */
const CHECKS: readonly (readonly [name: string, check: Check])[] = [
  ['platform', checkPlatform],
  ['node', checkNode],
  ['environment', checkEnvironment],
  ['native part', checkDriver],
  ['io_uring_setup', checkSetup],
  ['io_uring_enter', checkEnter],
  ['io_uring_register', checkRegister],
  ['round trip', checkRoundTrip],
  ['limits', checkLimits],
  ['runtime', checkRuntime],
]

async function examine(facts: SystemFacts): Promise<Step[]> {
  const patient: Patient = { facts }
  const steps: Step[] = []
  for (const [name, check] of CHECKS) {
    const isBlocked = steps.some(({ status }) => status === 'failed')
    const finding: Finding = isBlocked
      ? { status: 'skipped', detail: 'not tried' }
      : await attempt(check, patient)
    steps.push({ name, ...finding })
  }
  if (patient.fd !== undefined) closeFd(patient.driver!, patient.fd)
  return steps
}

/** A step that throws has failed, and the error says why. */
async function attempt(check: Check, patient: Patient): Promise<Finding> {
  try {
    return await check(patient)
  } catch (error) {
    return failedWith(error)
  }
}

const MARKS = {
  ok: ['ok', 'green'],
  failed: ['failed', 'red'],
  warning: ['warning', 'yellow'],
  skipped: ['-', 'dim'],
} as const

/**
 * Runs all steps and prints them.
 * @returns whether a ring can be made here
 */
export async function runDoctor(json: boolean): Promise<boolean> {
  const system = readSystemFacts()
  const steps = await examine(system)
  const problem = steps.find(({ status }) => status === 'failed')
  if (json) {
    printJson({ available: problem === undefined, steps, system })
    return problem === undefined
  }
  const rows = steps.map(({ name, status, detail }) => [MARKS[status][0], name, detail])
  print(
    ...table(rows, (text, row, column) => (column === 0 ? paint(MARKS[steps[row]!.status][1], text) : text)),
    '',
  )
  for (const { name, cure } of steps.filter(({ status }) => status === 'warning')) print(`${name}: ${cure}`)
  if (problem)
    print(paint('red', `No ring can be made here: ${problem.detail}.`), `What to do: ${problem.cure}.`)
  else print(paint('green', 'A ring can be made here.'))
  return problem === undefined
}
