package report

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/sluice-serving/sluice/bench/generator"
	"github.com/sluice-serving/sluice/bench/trial"
)

// bar is one row of a plot: a median with its interval.
type bar struct {
	name  string
	value trial.Estimate
	label string
}

const (
	plotWidth  = 760
	plotLeft   = 230
	plotRight  = 130
	plotTop    = 76
	plotRow    = 38
	plotBottom = 56
)

// comparisonPlot draws each subject's cost with its interval and, beside it, its ratio to the anchor.
func comparisonPlot(c *trial.Comparison) []byte {
	var bars []bar
	for _, r := range c.Rows {
		label := trial.Number(r.Cost.Median)
		if r.Name != c.Plan.Anchor && r.Ratio.N > 0 {
			label += fmt.Sprintf("  (%sx)", trial.Number(r.Ratio.Median))
		}
		bars = append(bars, bar{strings.TrimSpace(r.Name + " " + r.Version), r.Cost, label})
	}
	return plot(c.Plan.Title, c.Plan.Load, c.Plan.Cost+": median and 95 % interval; in brackets the ratio to "+c.Plan.Anchor, bars)
}

// plot draws horizontal bars from zero with interval whiskers, as an SVG that stands alone on light and dark pages.
func plot(title, subtitle, axis string, bars []bar) []byte {
	height := plotTop + plotRow*len(bars) + plotBottom
	top := 0.0
	for _, b := range bars {
		top = max(top, b.value.High, b.value.Median)
	}
	step := tickStep(top)
	top = math.Ceil(top*1.02/step) * step
	x := func(v float64) float64 { return plotLeft + v/top*(plotWidth-plotLeft-plotRight) }
	var b bytes.Buffer
	head(&b, height, title, subtitle)
	bottom := float64(plotTop + plotRow*len(bars))
	for v := 0.0; v <= top+step/2; v += step {
		fmt.Fprintf(&b, `<line x1="%.1f" y1="%d" x2="%.1[1]f" y2="%.1[3]f" stroke="#ddd"/>`+"\n", x(v), plotTop-4, bottom+4)
		text(&b, x(v), bottom+20, "middle", `fill="#555"`, trimNumber(v, step))
	}
	text(&b, 16, bottom+42, "start", `fill="#333"`, axis)
	for i, r := range bars {
		y := float64(plotTop + plotRow*i)
		mid := y + plotRow/2
		text(&b, plotLeft-10, mid+4, "end", `fill="#111"`, r.name)
		if r.value.N == 0 {
			text(&b, plotLeft+6, mid+4, "start", `fill="#a00"`, "no undisturbed block")
			continue
		}
		fmt.Fprintf(&b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%d" fill="%s" rx="2"/>`+"\n", x(0), y+8, x(r.value.Median)-x(0), plotRow-16, fill(r.name))
		fmt.Fprintf(&b, `<path d="M%.1f %.1fV%.1fM%.1[1]f %.1[4]fH%.1[5]fM%.1[5]f %.1[2]fV%.1[3]f" stroke="#111" stroke-width="1.5" fill="none"/>`+"\n",
			x(r.value.Low), mid-6, mid+6, mid, x(r.value.High))
		text(&b, x(max(r.value.High, r.value.Median))+8, mid+4, "start", `fill="#111"`, r.label)
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// LatencyPlot draws latency over the share of requests that were faster, spread out towards the slowest: 90 %, 99 %,
// 99.9 % and so on are equally far apart.
func LatencyPlot(r *generator.Report) []byte {
	h := &r.Latency
	const width, height, left, right, top, bottom = plotWidth, 420, 80, 30, 76, 56
	nines := max(math.Log10(float64(max(h.Count(), 10))), 1)
	most := max(h.Max().Seconds()*1e3, 1e-6)
	step := tickStep(most)
	most = math.Ceil(most/step) * step
	x := func(nine float64) float64 { return left + nine/nines*(width-left-right) }
	y := func(ms float64) float64 { return height - bottom - ms/most*(height-top-bottom) }
	var b bytes.Buffer
	head(&b, height, "Latency", fmt.Sprintf("%s, %.1f s, %.0f requests/s", r.Load(), r.Elapsed.Seconds(), r.PerSecond()))
	for v := 0.0; v <= most+step/2; v += step {
		fmt.Fprintf(&b, `<line x1="%d" y1="%.1f" x2="%d" y2="%.1[2]f" stroke="#ddd"/>`+"\n", left, y(v), width-right)
		text(&b, left-8, y(v)+4, "end", `fill="#555"`, trimNumber(v, step))
	}
	for nine := 0.0; nine <= nines; nine++ {
		fmt.Fprintf(&b, `<line x1="%.1f" y1="%d" x2="%.1[1]f" y2="%d" stroke="#ddd"/>`+"\n", x(nine), top, height-bottom)
		share := 100 * (1 - math.Pow(10, -nine))
		text(&b, x(nine), height-bottom+20, "middle", `fill="#555"`, strconv.FormatFloat(share, 'f', max(int(nine)-2, 0), 64)+" %")
	}
	text(&b, left, height-bottom+42, "start", `fill="#333"`, "share of requests that were at least as fast; latency in ms")
	b.WriteString(`<polyline fill="none" stroke="#2f7ed8" stroke-width="2" points="`)
	const points = 200
	for i := range points + 1 {
		nine := nines * float64(i) / points
		fmt.Fprintf(&b, "%.1f,%.1f ", x(nine), y(h.Quantile(1-math.Pow(10, -nine)).Seconds()*1e3))
	}
	b.WriteString("\"/>\n</svg>\n")
	return b.Bytes()
}

// head begins an SVG of the usual width.
func head(b *bytes.Buffer, height int, title, subtitle string) {
	fmt.Fprintf(b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" role="img" font-family="system-ui, sans-serif" font-size="13">`+"\n", plotWidth, height)
	fmt.Fprintf(b, `<title>%s</title>`+"\n"+`<rect width="100%%" height="100%%" fill="#fff"/>`+"\n", escape(title))
	text(b, 16, 28, "start", `font-size="16" font-weight="600" fill="#111"`, title)
	text(b, 16, 50, "start", `fill="#555"`, subtitle)
}

// fill marks what is ours.
func fill(name string) string {
	if strings.HasPrefix(name, "Sluice") {
		return "#2f7ed8"
	}
	return "#b9c2cc"
}

func text(b *bytes.Buffer, x, y float64, anchor, style, s string) {
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="%s" %s>%s</text>`+"\n", x, y, anchor, style, escape(s))
}

func escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s))
	return b.String()
}

// tickStep is 1, 2 or 5 times a power of ten, such that four to ten ticks reach the top.
func tickStep(top float64) float64 {
	if top <= 0 {
		return 1
	}
	step := math.Pow(10, math.Floor(math.Log10(top)))
	for _, f := range []float64{0.1, 0.2, 0.5, 1} {
		if top/(step*f) <= 8 {
			return step * f
		}
	}
	return step * 2
}

func trimNumber(v, step float64) string {
	digits := max(0, -int(math.Floor(math.Log10(step))))
	return fmt.Sprintf("%.*f", digits, v)
}
