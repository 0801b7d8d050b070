"""The model card's sentences: the model's purpose, its limits, and how far its figures hold."""

CARD = {
    "purpose": "Estimates a beer's bitterness (IBU) and its class from strength, gravities, colour, acidity and name, "
    "with an interval for the uncertainty.",
    "not_for": "Labelling, brewing decisions, or anything where a wrong figure does harm.",
    "limits": "Trained on one brewery's beers. Bitterness comes from hops, which the table does not hold, so beers of "
    "equal figures can differ widely. The intervals' coverage holds over all such beers, not for each class.",
    "figures": "All candidates are compared on the same beers, so the best of many owes part of its lead to these "
    "beers. The figures' intervals show the variation with other beers, not with another training.",
    "risk": "Low: no decision about people depends on it.",
}
