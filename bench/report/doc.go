// Package report writes what trials measured: a [Document] as Markdown, with the raw blocks as JSON and a plot a
// comparison, and the distribution of one run's latencies.
package report
