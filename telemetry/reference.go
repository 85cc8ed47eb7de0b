package telemetry

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

//go:generate go test -count=1 -run TestReferencePage ../internal/gateway -write-reference

// Reference renders the families as the reference page of the docs.
func Reference(descs []Desc) []byte {
	var b bytes.Buffer
	b.WriteString(referenceHead)
	for _, d := range descs {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", d.Name, d.Kind, labelList(d.Labels), strings.ReplaceAll(d.Help, "|", "\\|"))
	}
	b.WriteString("\n## Buckets\n\nUpper bounds, in the unit of the name; a last bucket without bound follows.\n\n")
	for _, d := range descs {
		if d.Kind == KindHistogram {
			fmt.Fprintf(&b, "- `%s`: %s\n", d.Name, boundList(d.Bounds))
		}
	}
	return b.Bytes()
}

const referenceHead = `# Metrics

<!-- Generated from the metrics that the gateway registers. Do not edit: run go generate ./telemetry. -->

The metrics listener (` + "`listen.metrics`" + `, port 8002) answers ` + "`GET /metrics`" + ` in the Prometheus text format, and in OpenMetrics
where the scraper asks for it. Durations are in seconds, sizes in bytes, shares are ratios. Label values come from the
configuration or from closed lists, never from requests, so the number of series is bounded by the configuration.
Counters belong to what they name, not to a configuration: a reload resets none, and a series ends when no configuration
in use names it. Histograms, and counters by a code or reason, appear with the first thing that they count; a query
over them should allow for their absence. Beside these, ` + "`go_*`" + ` and ` + "`process_*`" + ` describe the runtime and the process.

| Metric | Type | Labels | Meaning |
|---|---|---|---|
`

func labelList(labels []string) string {
	quoted := make([]string, len(labels))
	for i, label := range labels {
		quoted[i] = "`" + label + "`"
	}
	return strings.Join(quoted, ", ")
}

func boundList(bounds []float64) string {
	words := make([]string, len(bounds))
	for i, v := range bounds {
		words[i] = strconv.FormatFloat(v, 'f', -1, 64)
	}
	return strings.Join(words, ", ")
}
