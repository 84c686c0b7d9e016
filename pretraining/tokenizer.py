"""One tokenizer for all minis: lower-cased English word pieces, single Chinese
characters, single digits."""

from collections import Counter
from pathlib import Path

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from pretraining.corpora import SOURCES, documents

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "<s>", "</s>"]
SENTINELS = [f"<extra_id_{i}>" for i in range(24)]
UNUSED = [f"[unused{i}]" for i in range(32)]
VOCABULARY = 10_240
CHINESE = 3_700  # characters and full-width punctuation kept; rarer ones become [UNK]


def _empty(vocabulary: dict[str, int]) -> Tokenizer:
    tokenizer = Tokenizer(
        models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=50)
    )
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=True, strip_accents=True, lowercase=True
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.BertPreTokenizer(),
            pre_tokenizers.Digits(individual_digits=True),
        ]
    )
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    return tokenizer


def train(path: Path, held_out: set[str]) -> Tokenizer:
    """Learns the vocabulary from every corpus and writes tokenizer.json to `path`."""
    counts = Counter()
    english = []
    for group in SOURCES:
        for number, document in enumerate(documents(group, held_out)):
            if group.startswith("zh"):
                counts.update(c for s in document for c in s if ord(c) > 0x2000)
            elif group == "en_other" or number % 2 == 0:
                english.extend(s for s in document if s.isascii())
    head = SPECIAL + ["\n"] + SENTINELS + UNUSED
    chinese = [c for c, _ in counts.most_common(CHINESE)]
    learner = _empty({"[UNK]": 0})
    trainer = trainers.WordPieceTrainer(
        vocab_size=VOCABULARY - len(head) - len(chinese),
        special_tokens=["[UNK]"],
        min_frequency=20,
        show_progress=False,
    )
    learner.train_from_iterator(english, trainer)
    pieces = sorted(
        set(learner.get_vocab()) - {"[UNK]"} - set(chinese), key=learner.get_vocab().get
    )
    words = (head + chinese + pieces)[:VOCABULARY]
    tokenizer = _empty({w: i for i, w in enumerate(words)})
    tokenizer.add_special_tokens(SPECIAL + SENTINELS + UNUSED)
    tokenizer.add_tokens([AddedToken("\n", normalized=False)])
    path.parent.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(path))
    return tokenizer


def for_bert(tokenizer: Tokenizer) -> Tokenizer:
    """Adds BERT's [CLS] a [SEP] b [SEP]."""
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(t, tokenizer.token_to_id(t)) for t in ("[CLS]", "[SEP]")],
    )
    return tokenizer


def for_gpt(tokenizer: Tokenizer) -> Tokenizer:
    """Starts every text with <s>; decoding joins digits and Chinese characters."""
    return _joined(tokenizer, "<s> $A", "<s> $A $B:1", "<s>")


def for_t5(tokenizer: Tokenizer) -> Tokenizer:
    """Ends every text with </s>; decoding joins digits and Chinese characters."""
    return _joined(tokenizer, "$A </s>", "$A $B:1 </s>:1", "</s>")


def _joined(tokenizer: Tokenizer, single: str, pair: str, special: str) -> Tokenizer:
    tokenizer.post_processor = processors.TemplateProcessing(
        single=single,
        pair=pair,
        special_tokens=[(special, tokenizer.token_to_id(special))],
    )
    joined = r"(?<=\d) (?=\d)|(?<=[⺀-鿿＀-￯]) (?=[⺀-鿿＀-￯\w])|(?<=\w) (?=[⺀-鿿＀-￯])"
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.WordPiece(prefix="##"),
            decoders.Fuse(),
            decoders.Replace(Regex(joined), ""),
        ]
    )
    return tokenizer
