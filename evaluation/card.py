"""The model card in a few sentences: what the model is for, what it is not for, and how far its figures go."""

CARD = {
    "purpose": "Estimates a beer's bitterness (IBU) and its class from strength, gravities, colour, acidity and name, "
    "with an interval that says how sure the estimate is.",
    "not_for": "Labelling, brewing decisions, or anything where a wrong figure does harm.",
    "limits": "Learnt from one brewery's beers. Bitterness comes from hops, which the table does not hold, so beers of "
    "equal figures can differ widely. The intervals' promise holds over all such beers, not for each class.",
    "figures": "All candidates meet the same test beers, so the best of many owes part of its lead to these beers. The "
    "figures' intervals tell how they would vary with other beers, not with another training.",
    "risk": "Low: nobody is decided about.",
}
