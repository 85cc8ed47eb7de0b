package bench

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Document is a report: comparisons with what is needed to repeat them.
type Document struct {
	Name        string       `json:"name"`
	Title       string       `json:"title"`
	Text        string       `json:"-"`
	Command     string       `json:"command"`
	Machine     Machine      `json:"machine"`
	Comparisons []Comparison `json:"comparisons"`
	// Goals are what the figures are held against.
	Goals []Goal `json:"goals,omitempty"`
}

// Goal is one figure that was promised, and what was measured.
type Goal struct {
	What string `json:"what"`
	Want string `json:"want"`
	Got  string `json:"got"`
	Met  bool   `json:"met"`
}

// publish prints the report and, given a folder, writes it there as Markdown, JSON and one plot a comparison.
func (d *Document) publish(folder string, stdout io.Writer) error {
	if _, err := stdout.Write(d.Markdown(false)); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	if folder == "" {
		return nil
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("make the folder of the report: %w", err)
	}
	text, err := json.MarshalIndent(d, "", " ")
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	files := map[string][]byte{
		d.Name + ".md":   d.Markdown(true),
		d.Name + ".json": append(text, '\n'),
	}
	for i := range d.Comparisons {
		files[d.plotName(i)] = comparisonPlot(&d.Comparisons[i])
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o644); err != nil {
			return fmt.Errorf("write the report: %w", err)
		}
	}
	return nil
}

// missed names the goals that were not met.
func (d *Document) missed() error {
	var missed []string
	for _, g := range d.Goals {
		if !g.Met {
			missed = append(missed, fmt.Sprintf("%s: wanted %s, measured %s", g.What, g.Want, g.Got))
		}
	}
	if len(missed) == 0 {
		return nil
	}
	return goalError{errors.New(strings.Join(missed, "; "))}
}

func (d *Document) plotName(i int) string { return fmt.Sprintf("%s-%d.svg", d.Name, i+1) }

// Markdown is the report as text, with links to its plots if they lie beside it.
func (d *Document) Markdown(plots bool) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# %s\n\n%s\n\n", d.Title, d.Text)
	m := d.Machine
	fmt.Fprintf(&b, "`%s`  \n%s, %d cores, kernel %s, %s, %s\n\n", d.Command, m.CPU, m.Cores, m.Kernel, m.Go, m.When.Format("2006-01-02 15:04 MST"))
	if len(d.Goals) > 0 {
		b.WriteString("| goal | wanted | measured | met |\n|---|---|---|---|\n")
		for _, g := range d.Goals {
			met := "yes"
			if !g.Met {
				met = "**no**"
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", g.What, g.Want, g.Got, met)
		}
		b.WriteString("\n")
	}
	for i := range d.Comparisons {
		d.Comparisons[i].markdown(&b)
		if plots {
			fmt.Fprintf(&b, "![%s](%s)\n\n", d.Comparisons[i].Plan.Title, d.plotName(i))
		}
	}
	return b.Bytes()
}

func (c *Comparison) markdown(b *bytes.Buffer) {
	p := c.Plan
	fmt.Fprintf(b, "## %s\n\n%s. Median over blocks, [95 %% interval]; ratio: within each round, to %s.\n\n", p.Title, p.Load, p.Anchor)
	head := []string{"subject", p.Cost, "ratio"}
	timed := slices.ContainsFunc(c.Rows, func(r Row) bool { return r.PerSec.Median > 0 })
	if timed {
		head = append(head, "requests/s", "p50, us", "p99, us", "p99.9, us")
	}
	if p.Extra != "" {
		head = append(head, p.Extra)
	}
	head = append(head, "blocks")
	fmt.Fprintf(b, "| %s |\n|%s\n", strings.Join(head, " | "), strings.Repeat("---|", len(head)))
	for _, r := range c.Rows {
		cells := []string{strings.TrimSpace(r.Name + " " + r.Version), r.Cost.text(), r.Ratio.text()}
		if timed {
			cells = append(cells, r.PerSec.text(), r.P50.text(), r.P99.text(), r.P999.text())
		}
		if p.Extra != "" {
			cells = append(cells, r.Extra.text())
		}
		cells = append(cells, fmt.Sprint(r.Cost.N))
		fmt.Fprintf(b, "| %s |\n", strings.Join(cells, " | "))
	}
	b.WriteString("\n")
	for _, r := range c.Rows {
		if r.Note != "" {
			fmt.Fprintf(b, "- %s: %s\n", r.Name, r.Note)
		}
		if r.Failed != "" {
			fmt.Fprintf(b, "- **%s failed and was measured no further**: %s\n", r.Name, r.Failed)
		}
	}
	if timed || c.Disturbed > 0 {
		fmt.Fprintf(b, "\n%d of %d blocks were left out: other work used more than %.0f %% of the machine, or the generator was late.", c.Disturbed, len(c.Blocks), 100*p.MaxForeign)
		fmt.Fprintf(b, " In the others it used %.1f %% in the median.\n", 100*c.foreign())
	}
	if least := c.least(); least < p.Rounds {
		fmt.Fprintf(b, "**Only %d of %d wanted rounds were undisturbed.**\n", least, p.Rounds)
	}
	b.WriteString("\n")
}

// foreign is the median share of the machine that other work used in the blocks that count.
func (c *Comparison) foreign() float64 {
	var shares []float64
	for i := range c.Blocks {
		if b := &c.Blocks[i]; !b.Disturbed {
			shares = append(shares, b.Foreign)
		}
	}
	return median(shares)
}

func (c *Comparison) least() int {
	least := c.Plan.Rounds
	anchor, _ := c.Row(c.Plan.Anchor)
	for _, r := range c.Rows {
		switch {
		case r.Failed != "":
		case anchor.Failed != "":
			least = min(least, r.Cost.N)
		default:
			least = min(least, r.Ratio.N)
		}
	}
	return least
}

func (e Estimate) text() string {
	if e.N == 0 {
		return "-"
	}
	return fmt.Sprintf("%s [%s, %s]", number(e.Median), number(e.Low), number(e.High))
}

// number prints three digits, or all before the point where there are more.
func number(v float64) string {
	switch {
	case v >= 100 || v <= -100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10 || v <= -10:
		return fmt.Sprintf("%.1f", v)
	case v > -0.1 && v < 0.1 && v != 0:
		return fmt.Sprintf("%.3f", v)
	}
	return fmt.Sprintf("%.2f", v)
}
