"""Built-in prompt sets: the same prompts in many languages or for every territory (Unicode CLDR, see data/NOTICE), and
everyday ones.

* `concepts`: about 700 things that can be drawn, each under its name in about a hundred languages.
  Columns: prompt, language (BCP 47), language_name, script, speakers, topic, id.
* `regions`: twenty everyday things ("a wedding, Finland") in every territory, in 26 languages.
  Columns: prompt, language, territory (ISO 3166 alpha-2), territory_name, region and continent (UN M49), population,
  topic, id.
* `everyday`: 160 plain English phrases and scenes ("a red apple", "a train crossing a bridge") that a model of photographs
  should know. Columns: prompt, topic, kind (thing, scene).

Prompts with one `id` say the same. `python -m tools.prompt_sets` makes the tables in data/; rows are put together as they
are read.
"""

from .choice import CONCEPTS, EVERYDAY, KINDS, REGIONS, SETS, Choice, write

__all__ = ["CONCEPTS", "EVERYDAY", "KINDS", "REGIONS", "SETS", "Choice", "write"]
