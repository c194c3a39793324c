package cli

import (
	"context"
	"errors"
	"maps"
	"time"

	"github.com/pgcrm/pgcrm/change"
	"github.com/pgcrm/pgcrm/ledger"
	"github.com/pgcrm/pgcrm/pipeline"
	"github.com/pgcrm/pgcrm/sink"
	"github.com/pgcrm/pgcrm/sink/hubspot"
)

// whileWaiting is how often property definitions are read again at least while a
// mapping waits for them.
const whileWaiting = 30 * time.Second

// propertyWatch follows what becomes of the portal's properties while rows stream.
type propertyWatch struct {
	r     *runner
	crm   *hubspot.Client
	found *survey
	every time.Duration
	// refused holds a signal where HubSpot has refused a property as such.
	refused chan struct{}
}

// watch reads the definitions again now and then until ctx ends: sooner where
// HubSpot has refused a property, and more often while a mapping waits for one.
func (w *propertyWatch) watch(ctx context.Context) {
	for {
		wait := w.every
		if len(w.waiting()) > 0 {
			wait = min(wait, whileWaiting)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		case <-w.refused:
			timer.Stop()
		}
		w.look(ctx)
	}
}

// look asks once for each object. What cannot be read just now stays as it was.
func (w *propertyWatch) look(ctx context.Context) {
	properties := maps.Clone(w.found.properties) // the mapping keeps those that it was given
	for object := range w.found.sensitive {
		definitions, err := w.crm.PropertiesAgain(ctx, object, w.found.sensitive[object])
		var setup *hubspot.SetupError
		switch {
		case err == nil:
			properties[object] = propertiesOf(definitions)
		case errors.As(err, &setup) && setup.UnknownObject:
			delete(properties, object)
		default:
			if ctx.Err() == nil && !errors.Is(err, hubspot.ErrStopping) {
				w.r.log.Info("properties_not_read", "object", object, "error", err)
			}
		}
	}
	w.found.properties = properties
	w.redefine()
}

// redefine has the mapping follow the definitions, and says what that means.
func (w *propertyWatch) redefine() {
	m := w.found.mapping
	waited, hashes := w.waiting(), map[*change.Source]string{}
	for _, src := range m.Sources() {
		hashes[src] = m.SourceHash(src)
	}
	if !m.Redefine(w.found.properties) {
		return
	}
	waits := w.waiting()
	for _, src := range m.Sources() {
		attrs := []any{"table", src.Table, "object", src.Target.Object, "match", src.Target.Match}
		switch why := waits[src]; {
		case why != "" && why != waited[src]:
			w.r.log.Error("property_unfit", append(attrs, "problem", why,
				"note", "the mapping waits and sends nothing; what changes in its table is owed; put right, it goes on by itself")...)
		case why == "" && waited[src] != "":
			w.r.log.Info("properties_mended", attrs...)
		}
		if m.SourceHash(src) != hashes[src] {
			w.r.log.Info("property_retyped", append(attrs, "note", "its rows are read again and sent where they differ")...)
		}
	}
}

// waiting says which mappings wait for properties, and why.
func (w *propertyWatch) waiting() map[*change.Source]string {
	waits := map[*change.Source]string{}
	for _, src := range w.found.mapping.Sources() {
		if why := w.found.mapping.Waits(src); why != "" {
			waits[src] = why
		}
	}
	return waits
}

// refuse is told that HubSpot has refused a property as such. It does not block.
func (w *propertyWatch) refuse(hold *sink.HoldError) {
	if hold.Property == "" {
		return
	}
	select {
	case w.refused <- struct{}{}:
	default:
	}
}

// retryOptions has values tried again that were parked for want of an option,
// where properties have other options than when that was last looked at: in this
// process or an earlier one. It waits until what was mapped before is settled,
// which may park some more.
func (s *status) retryOptions(ctx context.Context) error {
	st := s.p.Status()
	if st.Phase.Name != pipeline.Streaming && st.Phase.Name != pipeline.Loading {
		return nil
	}
	m := s.found.mapping
	for _, src := range m.Sources() {
		token := m.Options(src)
		if s.options[src] == token {
			continue
		}
		if s.optionsSince[src] == 0 {
			s.optionsSince[src] = st.Read
		}
		if st.Queue.Records > 0 && st.Checkpoint < s.optionsSince[src] {
			continue
		}
		letters, err := s.book.Letters(ctx, ledger.Filter{Category: change.InvalidOption, Object: src.Target.Object, Table: src.Table})
		if err != nil {
			return err
		}
		requests := rowsOfLetters(letters)
		for i := range requests {
			requests[i].Reason = pipeline.Recheck
		}
		news, err := s.book.Options(ctx, src.Table, src.Target.Object, src.Target.Match, token, requests)
		if err != nil {
			return err
		}
		if news && len(letters) > 0 {
			s.r.log.Info("options_changed", "table", src.Table, "object", src.Target.Object, "parked", len(letters),
				"note", "values that were parked for want of an option are tried again")
		}
		s.options[src] = token
		delete(s.optionsSince, src)
	}
	return nil
}
