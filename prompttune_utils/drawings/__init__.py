"""The drawings of the book, one function for each: the last line of a cell shows it.

from prompttune_utils import drawings

drawings.four_paradigms()
drawings.four_paradigms(words={"by hand": "手工"}).svg("dark")
"""

from prompttune_utils.drawings.chapter_01 import four_paradigms
from prompttune_utils.drawings.chapter_02 import fine_tuning, two_losses
from prompttune_utils.drawings.chapter_03 import (
    taking_the_prior_out,
    template_and_verbalizer,
)
from prompttune_utils.drawings.chapter_04 import in_context_learning, induction_head
from prompttune_utils.drawings.chapter_05 import instruction_tuning
from prompttune_utils.drawings.chapter_06 import chain_of_thought
from prompttune_utils.drawings.chapter_07 import pet
from prompttune_utils.drawings.chapter_08 import (
    adapter_and_lora,
    filled_grid,
    the_gap,
    two_axes,
)
from prompttune_utils.drawings.chapter_09 import prompt_tuning
from prompttune_utils.drawings.chapter_10 import p_tuning
from prompttune_utils.drawings.chapter_11 import deep_prompts
from prompttune_utils.drawings.chapter_12 import pretrained_prompt
from prompttune_utils.drawings.chapter_13 import how_to_choose, where_it_trains
from prompttune_utils.drawings.chapter_14 import own_task
from prompttune_utils.drawings.chapter_a1 import three_objectives
from prompttune_utils.drawings.sheet import Drawing

__all__ = [
    "Drawing",
    "adapter_and_lora",
    "chain_of_thought",
    "deep_prompts",
    "filled_grid",
    "fine_tuning",
    "four_paradigms",
    "how_to_choose",
    "in_context_learning",
    "induction_head",
    "instruction_tuning",
    "own_task",
    "p_tuning",
    "pet",
    "pretrained_prompt",
    "prompt_tuning",
    "taking_the_prior_out",
    "template_and_verbalizer",
    "the_gap",
    "three_objectives",
    "two_axes",
    "two_losses",
    "where_it_trains",
]
