package report

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

	"github.com/sluice-serving/sluice/bench/machine"
	"github.com/sluice-serving/sluice/bench/trial"
)

// Document is a report: comparisons with what is needed to repeat them.
type Document struct {
	Name        string             `json:"name"`
	Title       string             `json:"title"`
	Text        string             `json:"-"`
	Command     string             `json:"command"`
	Machine     machine.Machine    `json:"machine"`
	Comparisons []trial.Comparison `json:"comparisons"`
	// Goals are what the figures are held against.
	Goals []trial.Goal `json:"goals,omitempty"`
}

// Publish prints the report and, given a folder, writes it there as Markdown, JSON and one plot a comparison.
func (d *Document) Publish(folder string, stdout io.Writer) error {
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

// Missed names the goals that were not met.
func (d *Document) Missed() error {
	var missed []string
	for _, g := range d.Goals {
		if !g.Met {
			missed = append(missed, fmt.Sprintf("%s: wanted %s, measured %s", g.What, g.Want, g.Got))
		}
	}
	if len(missed) == 0 {
		return nil
	}
	return errors.New(strings.Join(missed, "; "))
}

func (d *Document) plotName(i int) string { return fmt.Sprintf("%s-%d.svg", d.Name, i+1) }

// Markdown is the report as text, with links to its plots if they lie beside it.
func (d *Document) Markdown(plots bool) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# %s\n\n%s\n\n", d.Title, d.Text)
	m := d.Machine
	kernel := m.Kernel
	if m.TCP != "" {
		kernel += " with " + m.TCP
	}
	fmt.Fprintf(&b, "`%s`  \n%s, %d cores, kernel %s, %s, %s\n\n", d.Command, m.CPU, m.Cores, kernel, m.Go, m.When.Format("2006-01-02 15:04 MST"))
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
		markdown(&b, &d.Comparisons[i])
		if plots {
			fmt.Fprintf(&b, "![%s](%s)\n\n", d.Comparisons[i].Plan.Title, d.plotName(i))
		}
	}
	return b.Bytes()
}

// markdown writes a table and what is to be said of it.
func markdown(b *bytes.Buffer, c *trial.Comparison) {
	p := c.Plan
	fmt.Fprintf(b, "## %s\n\n%s. Median over blocks, [95 %% interval]; ratio: within each round, to %s.\n\n", p.Title, p.Load, p.Anchor)
	head := []string{"subject", p.Cost, "ratio"}
	timed := slices.ContainsFunc(c.Rows, func(r trial.Row) bool { return r.PerSec.Median > 0 })
	if timed {
		head = append(head, "requests/s", "p50, us", "p99, us", "p99.9, us")
	}
	if p.Extra != "" {
		head = append(head, p.Extra)
	}
	head = append(head, "blocks")
	fmt.Fprintf(b, "| %s |\n|%s\n", strings.Join(head, " | "), strings.Repeat("---|", len(head)))
	for _, r := range c.Rows {
		cells := []string{strings.TrimSpace(r.Name + " " + r.Version), r.Cost.String(), r.Ratio.String()}
		if timed {
			cells = append(cells, r.PerSec.String(), r.P50.String(), r.P99.String(), r.P999.String())
		}
		if p.Extra != "" {
			cells = append(cells, r.Extra.String())
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
		fmt.Fprintf(b, " In the others it used %.1f %% in the median.\n", 100*foreign(c))
	}
	if n := least(c); n < p.Rounds {
		fmt.Fprintf(b, "**Only %d of %d wanted rounds were undisturbed.**\n", n, p.Rounds)
	}
	b.WriteString("\n")
}

// foreign is the median share of the machine that other work used in the blocks that count.
func foreign(c *trial.Comparison) float64 {
	var shares []float64
	for i := range c.Blocks {
		if b := &c.Blocks[i]; !b.Disturbed {
			shares = append(shares, b.Foreign)
		}
	}
	return trial.Median(shares)
}

// least is the smallest number of rounds that a subject was measured in beside the anchor.
func least(c *trial.Comparison) int {
	n := c.Plan.Rounds
	anchor, _ := c.Row(c.Plan.Anchor)
	for _, r := range c.Rows {
		switch {
		case r.Failed != "":
		case anchor.Failed != "":
			n = min(n, r.Cost.N)
		default:
			n = min(n, r.Ratio.N)
		}
	}
	return n
}
