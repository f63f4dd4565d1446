// Columns for people: as wide as their longest value; columns that are empty everywhere are left out.

export function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const used = head.map((_, column) => column).filter(column => rows.some(row => (row[column] ?? '') !== ''))
  const width = (column: number): number => Math.max(head[column]?.length ?? 0, ...rows.map(row => (row[column] ?? '').length))
  const widths = used.map(width)
  const line = (row: readonly string[]): string =>
    used
      .map((column, i) => (row[column] ?? '').padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd()
  return [line(head), ...rows.map(line)]
}
