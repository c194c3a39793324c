package sink

import (
	"slices"

	"github.com/pgcrm/pgcrm/change"
)

// backward says how far an item is that moves a property back: HubSpot ignores
// a lifecycle stage that lies before the present one and says 200, unless the
// property is cleared first, in a call of its own.
type backward uint8

const (
	clearing backward = iota + 1
	setting
)

// begin makes the item one that clears the slots. Until they are set again the
// record holds neither value, so nothing is known of them if the item ends here.
func (it *deliveryItem) begin(slots []int) {
	if it.renaming && !it.byID {
		it.id = it.job.RenameTo
	}
	it.moving = nil
	for _, p := range it.props {
		if slices.Contains(slots, p.Slot) {
			it.moving = append(it.moving, p)
		}
	}
	it.props = make([]change.Prop, len(it.moving))
	for i, p := range it.moving {
		it.props[i] = change.Prop{Slot: p.Slot, Kind: change.Clear}
	}
	it.backward, it.tries, it.renaming = clearing, 0, false
	it.verdict.Unanswered = true
}

// step makes the item one that sets what it has cleared.
func (it *deliveryItem) step(to backward) {
	it.props, it.moving = it.moving, nil
	it.backward, it.tries = to, 0
}
