package firstboot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
)

// Outcome is what became of a file.
type Outcome string

// Outcomes.
const (
	// Absent: there is no such file.
	Absent Outcome = "absent"
	// Empty: it sets nothing.
	Empty Outcome = "empty"
	// Applied: now, by this run.
	Applied Outcome = "applied"
	// Unchanged: an earlier run applied it.
	Unchanged Outcome = "unchanged"
	// Wrong: nothing of it was applied; see the problems.
	Wrong Outcome = "wrong"
	// Failed: the disk did not let it be read or applied. The next run tries again.
	Failed Outcome = "failed"
)

// FileReport is about one file of the boot partition.
type FileReport struct {
	Name    string  `json:"name"`
	Outcome Outcome `json:"outcome"`
	// Set is what the file changed, when it was applied.
	Set []Change `json:"set,omitempty"`
	// SecretsRemain says that passwords could not be removed from a file that
	// was applied, so that everybody who has the card can read them.
	SecretsRemain bool `json:"secrets_remain,omitempty"`
	// Problems are the mistakes of a wrong file.
	Problems []Problem `json:"problems,omitempty"`
	// Notes are what was not honoured, or not as the person may think.
	Notes []string `json:"notes,omitempty"`
}

// Report is what a run did, for journal, console and status. It never holds a
// secret.
type Report struct {
	Files []FileReport `json:"files"`
	// Warnings are about the disk and the system, not about a line.
	Warnings []string `json:"warnings,omitempty"`
}

// Problems are those of all files.
func (r Report) Problems() (all []Problem) {
	for _, f := range r.Files {
		all = append(all, f.Problems...)
	}
	return all
}

// SecretsRemain says that passwords still stand on the boot partition.
func (r Report) SecretsRemain() bool {
	for _, f := range r.Files {
		if f.SecretsRemain {
			return true
		}
	}
	return false
}

// WriteTo writes the report for a console, a line for each fact; nothing when
// there is nothing to say.
func (r Report) WriteTo(w io.Writer) (int64, error) {
	var b strings.Builder
	for _, f := range r.Files {
		switch f.Outcome {
		case Applied:
			fmt.Fprintf(&b, "%s: applied (%s)\n", f.Name, joined(f.Set))
		case Wrong:
			fmt.Fprintf(&b, "%s: NOTHING of it was applied, it has mistakes:\n", f.Name)
		case Failed:
			fmt.Fprintf(&b, "%s: could not be applied, the next start tries again\n", f.Name)
		case Absent, Empty, Unchanged:
		}
		for _, p := range f.Problems {
			fmt.Fprintf(&b, "  %s\n", p)
		}
		for _, n := range f.Notes {
			fmt.Fprintf(&b, "  %s: %s\n", f.Name, n)
		}
		if f.SecretsRemain {
			fmt.Fprintf(&b, "  %s: %s\n", f.Name, secretsRemain)
		}
	}
	for _, s := range r.Warnings {
		fmt.Fprintf(&b, "%s\n", s)
	}
	n, err := io.WriteString(w, b.String())
	return int64(n), err
}

// secretsRemain is said wherever a person may look.
const secretsRemain = "PASSWORDS STILL STAND IN THIS FILE and can be read by everybody who has the card; remove them by hand"

// Log writes the report into the journal.
func (r Report) Log(ctx context.Context, log *slog.Logger) {
	for _, f := range r.Files {
		switch f.Outcome {
		case Applied:
			log.InfoContext(ctx, "setup file applied", "file", f.Name, "set", joined(f.Set))
		case Wrong:
			log.ErrorContext(ctx, "setup file is wrong and was not applied", "file", f.Name, "problems", len(f.Problems))
		case Failed:
			log.ErrorContext(ctx, "setup file could not be applied", "file", f.Name)
		case Absent, Empty, Unchanged:
			log.DebugContext(ctx, "setup file looked at", "file", f.Name, "outcome", string(f.Outcome))
		}
		for _, p := range f.Problems {
			log.ErrorContext(ctx, "setup file has a mistake", "file", p.File, "line", p.Line, "key", p.Key, "problem", p.Text, "remedy", p.Remedy)
		}
		for _, n := range f.Notes {
			log.WarnContext(ctx, "setup file was read otherwise", "file", f.Name, "note", n)
		}
		if f.SecretsRemain {
			log.ErrorContext(ctx, "passwords still stand in the setup file, remove them by hand", "file", f.Name)
		}
	}
	for _, s := range r.Warnings {
		log.WarnContext(ctx, "setup had trouble", "problem", s)
	}
}

func joined(all []Change) string {
	if len(all) == 0 {
		return "nothing to set"
	}
	words := make([]string, len(all))
	for i, c := range all {
		words[i] = string(c)
	}
	return strings.Join(words, ", ")
}

// fileReport is the report of the last run, in Data.
const fileReport = "firstboot-report.json"

// saveReport keeps the report for [LastReport]. A report that is lost is no
// reason to fail.
func (r *run) saveReport() {
	data, err := json.MarshalIndent(r.report, "", "  ")
	if err == nil {
		err = r.data.write(fileReport, append(data, '\n'), access{permService, r.o.ServiceGID})
	}
	if err != nil {
		r.warn(fmt.Sprintf("the report cannot be kept: %v", err))
	}
}

// LastReport reads what the last run reported, from its Data directory. Before
// the first run it is empty.
func LastReport(data string) (Report, error) {
	var r Report
	text, err := os.ReadFile(filepath.Join(data, fileReport))
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil {
		return Report{}, fmt.Errorf("setup report: %w", err)
	}
	return r, nil
}
