package cli

import "context"

// historyAsked is of how many edited records the history is asked: a call each.
const historyAsked = 20

// askHistory adds to what was edited who did it, as far as HubSpot tells.
func (c *verifyCommand) askHistory(ctx context.Context, report *verification) error {
	asked := 0
	for i := range report.Drift {
		f := &report.Drift[i]
		if f.Kind != kindDifferent || f.CRMID == "" || asked == historyAsked {
			continue
		}
		var names []string
		for _, p := range f.Properties {
			if p.Cause == causeEdited {
				names = append(names, p.Name)
			}
		}
		if len(names) == 0 {
			continue
		}
		asked++
		versions, err := c.view.crm.History(ctx, f.Object, f.CRMID, names)
		if err != nil {
			if ctx.Err() != nil {
				return err
			}
			c.log.Warn("history_not_read", "error", err)
			return nil
		}
		for j := range f.Properties {
			p := &f.Properties[j]
			if p.Cause != causeEdited || len(versions[p.Name]) == 0 || versions[p.Name][0].Value != p.CRM {
				continue
			}
			newest := versions[p.Name][0]
			p.SetBy = newest.Source
			if newest.SourceID != "" {
				p.SetBy += " " + newest.SourceID
			}
			if !newest.At.IsZero() {
				at := newest.At.UTC()
				p.SetAt = &at
			}
		}
	}
	return nil
}
