"""What is not answered: topics that no face can tell, other languages, instructions, greetings, noise.

Each topic is a pattern over the lower-case question and one sentence that says why, in words that name no reading.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["GREETING", "HARD", "HELP", "LANGUAGES", "TOPICS", "Topic", "greets", "language_of", "topic_of"]

HELP = (
    "Ask about the apparent expression: the emotion and its certainty, Action Units, a part of the face, "
    "head pose, or which face shows what."
)
GREETING = f"Hello. I answer questions about faces in pictures and clips. {HELP}"

Topic = str
_PERSON = r"(?:he|she|they|it|this|that|(?:the|this|that) (?:person|man|woman|guy|lady|girl|boy|face|candidate|one|individual))"


def _any(*parts: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(parts)})\b")


TOPICS: Mapping[Topic, tuple[re.Pattern[str], str]] = MappingProxyType(
    {
        "instruction": (
            _any(
                r"(?:ignore|forget|disregard|override|bypass)\s+(?:\w+\s+){0,4}(?:instructions?|rules?|prompts?|guidelines|limits?|restrictions?|above|before)",
                r"system (?:prompt|message|instructions?)", r"(?:your|initial|hidden) (?:system )?(?:prompt|instructions)",
                r"from now on", r"pretend", r"you are now", r"act as", r"role-?play", r"jail ?break\w*", r"developer mode",
                r"^(?:(?:please|just|now|simply) )*(?:say|answer|reply|respond|output|print|write|type|return)(?: with| only| just)* the (?:word|label|string|text)s?\b", r"no matter what", r"^(?:(?:please|just|now|simply) )*(?:say|answer|reply|output|print|write)(?: with| only| just)? [\"']", r"(?:ignore|disregard|forget) .*(?:and|just|then|instead),? (?:just |only )?(?:say|answer|reply|output|print|tell)", r"you (?:must|will|shall|have to) (?:only )?(?:answer|say|reply)", r"regardless of (?:what|the)", r"(?:always|must|only) (?:say|answer|reply|respond)", r"whatever (?:the|you|i) (?:face|see|ask)",
                r"^(?:(?:please|just|now|simply) )*(?:say|claim|state|reply|respond|answer) that",
                r"dan mode", r"^repeat(?=\W{1,3}\w+\W*$)", r"^(?:(?:please|just|now|simply|only) )*say \w+\W*$", r"role\W{1,6}(?:system|user|assistant|developer)", r"no restrictions", r"unrestricted", r"repeat (?:after me|the words|everything)", r"new (?:rule|instruction)s?:",
            ),
            "I do not follow instructions inside a question; I only answer what a face shows.",
        ),
        "self": (
            _any(
                r"(?:do|can|could|did) you (?:ever |also |really )?(?:feel|smile|cry|laugh|love|hate)(?! (?:that|it|this|the|sure|certain))", r"how are you", r"emotions? (?:do|are|can) you feel\w*",
                r"are you (?:feeling |ever |also )?(?:happy|sad|angry|afraid|scared|surprised|bored|fine|well|tired)",
            ),
            "I have no feelings of my own; I describe faces.",
        ),
        "knowledge": (
            _any(
                r"why do (?:people|we|humans|men|women|babies)", r"(?:when|where) (?:was|were) (?:the )?(?:facs|action units?) \w+", r"(?:worse|better|healthier) than",
                r"define (?!au|action|facs)\w+", r"definition of (?!au|an? a|action|facs)\w+", r"who (?:discovered|invented|coined|wrote|founded)",
                r"how (?:can|do|should|could) (?:i|we|one) (?:be|become|feel|get|make|stop|avoid|look|bake|cook|learn)\w*", r"(?:tips|advice) (?:for|against|on|about)",
                r"difference between (?:\w+ )?(?:happiness|joy|sadness|fear|anger|disgust|contempt|surprise)", r"best emotion",
            ),
            "I do not explain emotions in general; I describe the faces of one picture or clip.",
        ),
        "request": (
            _any(
                r"(?:sing|translate|edit|photoshop|swap|delete|retouch|animate|send|paint)", r"turn (?:him|her|them|me|it) into", r"make (?:him|her|them|me|it) \w+", r"remove (?:the|his|her|their|my)",
                r"(?:write|tell|compose) (?:me |us )?(?:an?|the|some) (?:\w+ )?(?:stor(?:y|ies)|tale|letter|speech|article)", r"draw (?:me |us )?(?:an?|the|this|his|her)",
                r"(?:poems?|jokes?|haikus?|limericks?|lyrics|songs?|essays?|recipes?|novels?)",
                r"(?:compose|sing|draw|paint|sketch|translate|convert|calculate|compute the (?:sum|product)|solve) (?:me |this |the |a |an |some |\d)(?!intensit|level|probab|emotion|aus?\b|action|score|value)",
            ),
            "That is outside what I can answer; I only describe faces.",
        ),
        "age": (
            _any(
                r"how old", r"(?:his|her|their|the|person's|estimated?|guess(?:ed)?|what|approximate|exact|real|an?) ages?", r"ages? of",
                r"age (?:group|range|bracket|in years)", r"years? old", r"how young", r"old or young", r"young or old", r"older", r"younger",
                r"(?:year|decade|when) (?:was|were) \w+ born", r"born (?:in|before|after)", r"birth(?:day|date| year)", r"in (?:his|her|their) (?:\w+ies|teens)",
                rf"(?:is|was) {_PERSON} (?:\w+ )?(?:young|old|elderly|under ?age|middle-?aged|retired|of age)", rf"(?:is|was) {_PERSON} (?:\w+ )?an? (?:\w+ )?(?:adult|minor|teenager|teen|child|kid|baby|senior|pensioner|grown-?up)(?! (?:who|that|with))",
                r"over (?:18|21|30|40|50|60)", r"under (?:18|21|30|40)", r"guess \w+ age", r"age", r"decades? of (?:life|age)",
            ),
            "I cannot tell age from a face and do not guess it.",
        ),
        "gender": (
            _any(
                r"genders?", r"sex", r"(?:man|male|boy|guy|men) or (?:an? )?(?:woman|female|girl|lady|women)",
                r"(?:woman|female|girl|lady|women) or (?:an? )?(?:man|male|boy|guy|men)", r"masculine", r"feminine", r"transgender", r"non-?binary",
                rf"(?:is|was) {_PERSON} an? (?:man|woman|boy|girl|lady)(?! (?:who|that|with))", rf"(?:is|was) {_PERSON} (?:an? )?(?:male|female)", r"(?:is|was) (?:he|she|they|it|this|that) (?:man|woman|boy|girl|lady)$", r"pronouns?", r"he or she", r"she or he",
                r"gay", r"lesbian", r"straight or gay", r"sexual(?:ity| orientation)?",
            ),
            "I do not judge gender or sexual orientation; a face does not tell them.",
        ),
        "identity": (
            _any(
                r"who(?:'s| is| are| was)? (?:this|that|it|he|she|they|the (?:person|man|woman|guy|lady|girl|boy))(?: (?:person|man|woman|guy|lady|girl|boy|face|actor|actress))?(?: (?:here|in (?:the|this) (?:photo|picture|image|clip|video)))?\s*(?:\??$|[?,;.]|and\b)",
                r"who (?:is|was) (?:the|this|that) (?!\w+(?:est|er)\b|most|least|more|less)(?:\w+ ){0,2}(?:person|man|woman|guy|lady|girl|boy)(?! (?:who|that|with|smil|look|frown))",
                r"who (?:the|this|that) (?:\w+ )?(?:person|man|woman|guy|lady|girl|boy) is", r"(?:his|her|person's|full|last|first) names?", r"names? of (?:the|this|that) (?:person|man|woman|guy|lady|girl|boy|actor|actress)", r"(?:he|she|they|person|man|woman|guy|lady|girl|boy) (?:is |was )?(?:called|named)", r"identify (?:him|her|them|who|(?:the|this|that) (?:person|man|woman|guy|lady|girl|boy|individual|people))",
                r"identity", r"recogni[sz]e (?:who|him|her|them|(?:this|the|that|these) (?:person|man|woman|guy|lady|girl|boy|people|actor|actress|celebrity|face))", r"celebrit\w*", r"famous", r"same (?:person|man|woman|individual|guy|lady)", r"passports?", r"look-?alike",
                r"(?:do|have) (?:you|i|we) (?:know|seen?|met) (?:this|that|him|her|them|the)", r"resembles?", r"related to", r"(?:brothers?|sisters?|twins|father|mother|siblings) ",
                r"look(?:s)? like (?:a (?:famous|known)|my|an? (?:actor|actress|singer|politician))", rf"(?:is|was) {_PERSON} (?:an?|the) (?:\w+ )?(?:actor|actress|politician|president|singer|player|king|queen)",
                r"match (?:this|the) face", r"face recognition", r"verify (?:the )?identity", r"where does (?:he|she) work", r"phone number", r"address", r"instagram",
            ),
            "I do not identify people, and nothing here compares a face with a name.",
        ),
        "ethnicity": (
            _any(
                r"ethnic\w*", r"race", r"racial", r"nationalit\w+", r"which country", r"what country", r"countr(?:y|ies)", r"come[s]? from", r"skin colou?r",
                r"origins?", r"descent", r"ancestry", r"heritage", r"religio\w*", r"muslim", r"jewish", r"christian", r"hindu", r"buddhist",
                r"asian", r"african", r"european", r"hispanic", r"latin[oax]", r"caucasian", r"arab", r"indian", r"chinese", r"american", r"immigrant",
                r"(?:is|was) \w+ (?:black|white|brown)", r"black or white", r"where (?:is|are|was) (?:he|she|they|this person|the person) from", r"foreign(?:er)?", r"native",
                r"what language does", r"speaks? (?:english|french)", r"political(?:ly)?", r"votes? for",
            ),
            "I do not judge ethnicity, origin, religion or politics; a face does not tell them.",
        ),
        "attractiveness": (
            _any(
                r"attractive\w*", r"beaut\w+", r"prett(?:y|ier|iest)(?! (?:sure|certain|much|strong))", r"handsome", r"ugly", r"hot", r"sexy", r"cute", r"good[- ]looking",
                r"gorgeous", r"(?:rate|score|rank|grade|judge) (?:this|the|her|his|their|my) (?:face|looks?|appearance|person|man|woman|girl|guy|beauty|picture|photo)",
                r"photogenic", r"(?:nose|eyes|mouth|lips|ears|chin|forehead|teeth) (?:is |are )?too (?:big|small|long|wide|fat|thin|crooked|large)", r"plain[- ]looking", r"fat", r"overweight", r"too thin", r"plastic surgery", r"make-?over",
                r"symmetric(?:al)? (?:face|beauty)", r"would you date", r"single or married", r"date (?:him|her)", r"well[- ]dressed", r"stylish", r"hair ?style",
            ),
            "I do not rate looks; a rating of a person's appearance is no measurement.",
        ),
        "lying": (
            _any(
                r"ly(?:ing|ed)", r"lies?", r"liars?", r"(?:un)?truth\w*", r"(?:dis)?honest\w*", r"decei\w+", r"decepti\w+", r"trust(?:worthy|ed)?(?! (?:the|your|this|that|these|those) (?:result|reading|number|answer|emotion|label|score|measurement|value)s?)",
                r"sincere", r"hiding (?:something|anything|the truth|a secret|secrets)(?! (?:in|on|over|the))", r"hides? (?:something|anything)", r"bluff\w*", r"cheat\w*", r"guilt\w*", r"innocent", r"faking it", r"is (?:he|she) for real", r"manipulat\w+",
                r"keeping (?:a )?secrets?", r"believe (?:him|her|them|what)",
            ),
            "No face shows whether someone lies or can be trusted, so I do not judge it.",
        ),
        "hiring": (
            _any(
                r"hir(?:e|ed|ing)", r"(?:good|best|right|suitable) candidates?", r"job", r"interview\w*", r"employ\w*", r"recruit\w*", r"promot(?:e|ed|ion)", r"salary", r"workplace", r"at work", r"colleagues?",
                r"work ethic", r"team ?player", r"leader(?:ship)?", r"qualified", r"(?:good|bad|better|great|suitable) (?:manager|boss|employee|worker|teacher|salesman|nurse)", r"appl(?:icant|ication)s?", r"(?:be|get|got|gets|being|was|were) fired", r"fire (?:him|her|them)", r"admit(?:ted)? to", r"good students?", r"exam",
                r"pay(?:ing)? attention in class", r"loan", r"credit(?:worthy)?", r"insur\w+", r"tenant", r"rent (?:to|him|her)", r"visa",
            ),
            "I do not support decisions about people, at work, in education or elsewhere; a face is no evidence for them.",
        ),
        "diagnosis": (
            _any(
                r"depress(?:ed|ion)(?!or)", r"autis\w+", r"asperger\w*", r"adhd", r"parkinson\w*", r"alzheimer\w*", r"dementia", r"schizo\w+", r"bipolar", r"psych(?:otic|osis|opath\w*|iatric)",
                r"diagnos\w+", r"disorders?", r"diseases?", r"illness(?:es)?", r"symptoms?", r"syndromes?", r"palsy", r"stroke", r"ptsd", r"trauma(?:ti[sz]ed)?", r"anorexi\w+", r"suicid\w+",
                r"mental(?:ly)?(?: \w+)?", r"medical(?:ly)?", r"paraly[sz]\w+", r"panic attacks?", r"seizures?", r"therap\w+", r"patholog\w+", r"down'?s? syndrome", r"cancer", r"burn-?out", r"narcissi\w+", r"sociopath\w*", r"condition is",
                r"treatment", r"medication",
            ),
            "I do not diagnose; no illness or disorder can be told from this.",
        ),
        "health": (
            _any(
                r"tired(?:ness)?", r"exhaust\w+", r"fatigue\w*", r"sleep(?:y|ing|-deprived)?", r"drunk", r"drug(?:s|ged)?", r"alcohol\w*", r"intoxicat\w+", r"sober", r"stoned", r"hung-?over", r"high on",
                r"sick", r"ill", r"unwell", r"health\w*", r"fever", r"in pain", r"pain(?:ful)?", r"pregnan\w+", r"hungry", r"thirsty", r"heart rate", r"pulse", r"blood pressure", r"smok(?:er|es|ing)",
                r"weak person", r"injur\w+", r"breathing", r"stress(?:ed)?", r"drows\w+", r"awake",
            ),
            "I cannot tell health, pain, tiredness or intoxication from a face.",
        ),
        "character": (
            _any(
                r"criminals?", r"crime", r"terroris\w+", r"dangerous", r"threat\w*", r"violent", r"aggressive(?:ness)?", r"intelligen\w+", r"smart", r"clever", r"stupid", r"dumb", r"iq", r"personalit\w+", r"character(?:s|istics)?",
                r"introvert\w*", r"extrovert\w*", r"extravert\w*", r"kind person", r"nice person", r"good person", r"bad person", r"evil", r"moral\w*", r"generous", r"selfish", r"confident person", r"arrogant", r"shy",
                r"friendly", r"mean person", r"temper(?:ament)?", r"lazy", r"ambitious", r"competent", r"reliable person", r"loyal", r"rich", r"poor", r"wealthy", r"educated", r"profession", r"occupation", r"(?:for|do(?:es)? (?:\w+ )?do for) a living",
                r"steal\w*", r"thief", r"murder\w*", r"big five", r"zodiac", r"star sign", r"religious", r"funny person", r"charisma\w*", r"dominan\w+", r"hobb(?:y|ies)", r"bully", r"creepy",
            ),
            "I do not judge character, abilities or intentions; a face does not tell them.",
        ),
        "future": (
            _any(
                r"will (?:he|she|they|it|this|that|the|there)", r"(?:going|about) to", r"(?<!that )(?<!this )(?<!the )(?<!your )predict\w*(?! (?:emotion|label|expression|au))", r"forecast", r"future", r"tomorrow", r"next (?:week|year|month|move)",
                r"do next", r"happens? next", r"buy", r"succeed", r"intend\w*", r"intentions?", r"plan(?:s|ning)? to", r"likely to (?:do|say|leave|attack|buy|vote|win)",
            ),
            "I describe a moment and cannot predict what a person will do.",
        ),
        "thoughts": (
            _any(
                r"think(?:s|ing)? (?:about|of|right now|at)", r"(?:is|are|was|does|do|might|could|would|may) (?:he|she|they|the \w+|this \w+|it) (?:be )?think(?:ing)?", r"thoughts?", r"(?:his|her|their|a person's|the \w+'s) (?:mind|heart|soul)", r"(?:in|inside|through) (?:his|her|their|the \w+'s) head", r"loves? (?:me|him|her|you|us|them)",
                r"in love", r"likes? (?:me|him|her|us|it|them)", r"hates? (?:me|him|her|us|it)", r"attracted to", r"flirt\w*", r"miss(?:es)? (?:me|him|her)", r"dream\w*", r"remember\w*", r"(?:he|she|they|person) wants?", r"wishes",
                r"(?:conceal|hid|suppress|mask|bottl)(?:ing|es?|s|ed|en)? (?:up )?(?:his|her|their|any|the|some) (?:\w+ )?(?:anger|sadness|fear|joy|happiness|disgust|contempt|feelings?|emotions?)", r"deep down", r"(?:because of|due to) (?:him|her|them|me|us|his|their|the|a)", r"loves? (?:his|their|the)", r"inner (?:feelings?|state|self|life)", r"secretly", r"truly feel", r"really feel(?:s|ing)?", r"bored with me", r"interested in me", r"angry (?:at|with) (?:me|us|her|him|whom|who)", r"(?:why|what) (?:made|caused|happened)(?! you\b)", r"what (?:is|was) (?:he|she) (?:saying|talking)",
                r"cares? about", r"regrets?", r"jealous of",
            ),
            "I cannot read thoughts, wishes or feelings behind a face; I describe its apparent expression only.",
        ),
        "rating": (
            _any(r"(?:out of|from 1 to|1 to|1-|scale of) ?(?:10|ten|100)", r"(?:score|rating|grade|mark)s? (?:this|the|her|his) (?:face|person)"),
            "I do not rate faces or people; Action Units have FACS levels, which I can give.",
        ),
        "surroundings": (
            _any(
                r"(?:what|which) (?:clothes|shirt|dress|colou?r(?:s)?|jacket|tie|hat)", r"wearing(?! (?:glasses|sunglasses|a mask|mask|spectacles|a smile|an? \w+ expression))", r"background", r"behind (?:him|her|them)", r"(?:eye|hair) colou?r",
                r"colou?r of (?:the|his|her|their) (?:eyes?|hair|skin|shirt|dress)", r"weather", r"where was (?:this|the)", r"when was (?:this|the) (?:photo|picture|image) taken", r"camera (?:was|model)", r"location", r"beard", r"moustache", r"mustache", r"bald",
                r"haircut", r"ear-?rings?", r"make-?up", r"tattoos?", r"wrinkles on", r"tall", r"height of", r"weigh\w*", r"in the room", r"animals?", r"dogs?", r"cats?",
            ),
            "I measure faces only, not clothes, hair, objects or places.",
        ),
        "off-topic": (
            _any(
                r"poems?", r"jokes?", r"story", r"stories", r"songs?", r"essay", r"haiku", r"recipes?", r"cook", r"translate", r"python", r"javascript", r"(?:source|some|write|this) code", r"def \w+\(", r"import \w+", r"select \*", r"sql",
                r"capital of", r"time is it", r"today'?s?", r"news", r"stock", r"bitcoin", r"football", r"(?:times|plus|minus|divided by) \d+", r"\d+ ?[x*+/] ?\d+ ?=?", r"square root", r"solve", r"equation",
                r"calculate", r"integral", r"meaning of life", r"(?:write|compose) (?:me )?(?:an?|some) (?:\w+ )?(?:poem|story|essay|song|letter|text|book|article|program|script|speech|review)s?", r"email", r"letter to", r"who (?:won|wrote|invented|discovered)", r"how do i", r"how to", r"(?:draw|paint|generate) (?:me )?(?:an?|the|some)", r"password",
                r"hack", r"bomb", r"weapons?", r"president of", r"history of", r"explain (?:quantum|relativity|the theory)", r"train(?:s)? (?:from|to)", r"flight", r"hotel", r"restaurant", r"your (?:name|favou?rite|mother|father|birthday)",
                r"are you (?:an? )?(?:human|robot|alive|conscious|real|ai|chatgpt|gpt|sentient)", r"who (?:made|created|built|trained) you", r"(?:president|king|queen) ",
            ),
            "That is outside what I can answer; I only describe faces.",
        ),
    }
)  # fmt: skip
"""Topic -> how a question about it is told, and the sentence that declines it; the first that fits counts."""

HARD = frozenset(
    "instruction self request knowledge age gender identity ethnicity attractiveness lying hiring diagnosis".split()
)
"""Topics that decline a question whatever else it asks; the others give way to a clear question about a movement."""

_GREETS = frozenset(
    "hi hello hey hiya howdy yo greetings morning day evening afternoon thanks thank thx ok okay bye goodbye please help start "
    "test testing lol haha wow cool nice great perfect sorry cheers".split()
)
_TO_WHOM = _GREETS | frozenset(
    "there you me mien again everyone all friend bot good very so much ya man then".split()
)
_MOST_GREETED = 7

LANGUAGES: Mapping[str, tuple[str, frozenset[str]]] = MappingProxyType(
    {
        "French": (
            "Je ne comprends que l'anglais.",
            frozenset(
                "quel quelle quels quelles est-ce que qui quoi est sont elle il ils elles cette ce ces cet visage visages dans sur une des les du au aux "
                "personne sourit sourire émotion emotion-t-on combien pourquoi comment où quand avec voit-on voit montre expression-t-elle âge a-t-elle a-t-il "
                "semble air triste heureux heureuse colère content fâché surpris peur bouche yeux sourcils ouverte fermés ouverts regarde homme femme "
                "ment décris décrivez explique expliquez quelqu'un l'émotion l'expression d'expression qu'elle qu'il on je vous nous".split()
            ),
        ),
        "German": (
            "Ich verstehe nur Englisch.",
            frozenset(
                "wie was wer wo warum wann welche welcher welches welchen ist sind der die das dem den des ein eine einen einer diese dieser dieses diesem "
                "fühlt sich person gesicht lächelt lacht lächeln augen mund brauen offen geschlossen zeigt vorhanden gefühl emotion-e ausdruck gesichtsausdruck "
                "wütend traurig glücklich fröhlich überrascht ängstlich neutral-e sie er es man und oder nicht kein keine auf im bild lügt alt viele "
                "gesichter beschreibe erkläre bitte aktionseinheiten gibt hat sieht aus".split()
            ),
        ),
        "Spanish": (
            "Solo entiendo inglés.",
            frozenset(
                "qué que quién quien cuál cuál-es cómo como cuántos cuántas cuántos-años por está están es son el la los las una este esta esto ese esa "
                "persona cara rostro sonriendo sonríe emoción emociones siente muestra expresa parece triste feliz enojado enojada enfadado enfadada "
                "sorprendido miedo boca ojos cejas abierta cerrados años tiene hay describe explica de en su por-qué ella él".split()
            ),
        ),
        "Portuguese": (
            "Só entendo inglês.",
            frozenset(
                "qual quais quem como quantos quantas por está estão é são o a os as um uma este esta esse essa deste desta pessoa rosto cara sorrindo sorri "
                "emoção emoções sente mostra parece triste feliz zangado zangada irritado surpreso surpresa-o medo boca olhos sobrancelhas aberta fechados "
                "anos tem ela ele você não do da no na em há descreva explique mentindo".split()
            ),
        ),
        "Italian": (
            "Capisco solo l'inglese.",
            frozenset(
                "che chi cosa quale quali come quanti quante perché dove quando è sono il lo la gli le un una questo questa questi persona viso volto faccia "
                "sorride sorridendo emozione emozioni esprime prova sembra triste felice arrabbiato arrabbiata sorpreso paura bocca occhi sopracciglia aperta "
                "chiusi anni ha lei lui nel nella del della di con mostra descrivi spiega sta mentendo".split()
            ),
        ),
        "Dutch": (
            "Ik begrijp alleen Engels.",
            frozenset(
                "welke wat wie hoe waarom is zijn de het een deze dit persoon gezicht lacht glimlacht emotie voelt zich toont blij verdrietig boos bang "
                "verrast mond ogen wenkbrauwen open gesloten oud veel gezichten zij hij niet op er in van".split()
            ),
        ),
        "Polish": (
            "Rozumiem tylko angielski.",
            frozenset(
                "jaka jaki jakie co kto ile czy dlaczego jest są ta ten to osoba twarz twarzy emocja emocje uśmiecha się czuje wygląda smutny szczęśliwy zły usta "
                "oczy otwarte zamknięte lat ma na w nie".split()
            ),
        ),
        "Turkish": (
            "Yalnızca İngilizce anlıyorum.",
            frozenset(
                "bu kişi kişinin yüz yüzü yüzde hangi ne nasıl kim kaç neden duygu duygusu ifade gülümsüyor mu mı mi mü hissediyor mutlu üzgün kızgın korkmuş ağız gözler açık "
                "kapalı yaşında var".split()
            ),
        ),
        "Swedish": (
            "Jag förstår bara engelska.",
            frozenset(
                "vad vem hur varför vilken vilket är den det denna detta person personen ansikte ansiktet ler känsla känner sig visar glad ledsen arg rädd "
                "förvånad mun ögon öppen stängda gammal många på i inte hon han".split()
            ),
        ),
        "Indonesian": (
            "Saya hanya mengerti bahasa Inggris.",
            frozenset(
                "apa siapa bagaimana mengapa berapa apakah orang ini wajah emosi ekspresi tersenyum dia sedang merasa marah sedih senang takut mulut mata terbuka "
                "tertutup di pada yang".split()
            ),
        ),
    }
)  # fmt: skip
"""Language in Latin script -> a line in it that only English is understood, and words by which it is told."""

_SCRIPTS = (
    ("Japanese", "HIRAGANA KATAKANA", "英語しか理解できません。"),
    ("Korean", "HANGUL", "영어만 이해할 수 있습니다."),
    ("Chinese", "CJK", "我只懂英语。"),
    ("Arabic", "ARABIC", "أفهم الإنجليزية فقط."),
    ("Hindi", "DEVANAGARI", "मैं केवल अंग्रेज़ी समझता हूँ।"),
    ("Russian", "CYRILLIC", "Я понимаю только английский."),
    ("Greek", "GREEK", "Καταλαβαίνω μόνο αγγλικά."),
    ("Hebrew", "HEBREW", "אני מבין רק אנגלית."),
    ("Thai", "THAI", "ฉันเข้าใจแค่ภาษาอังกฤษ"),
    ("Bengali", "BENGALI", "আমি শুধু ইংরেজি বুঝি।"),
)
_ENGLISH = frozenset(
    "the is are this that what which who how does do did can you your of in on and or to she he they her his face person picture photo image any there "
    "not with it at show me tell give for from be has have was were please i my an would could why when where list name describe".split()
)
_MOST = 600


def greets(text: str) -> bool:
    """Whether a lower-case text is a greeting and nothing else."""
    words = re.findall(r"[^\W\d_]+", text[:100])
    return 0 < len(words) <= _MOST_GREETED and not _GREETS.isdisjoint(words) and _TO_WHOM.issuperset(words)


def topic_of(text: str) -> tuple[Topic, str] | None:
    """The topic outside scope that a lower-case question is about, and the sentence that declines it."""
    for topic, (pattern, sentence) in TOPICS.items():
        if pattern.search(text):
            return topic, sentence
    return None


def language_of(text: str) -> tuple[str, str] | None:
    """The language of a question that is not English, and a line in it; None for English, code and noise."""
    shown = text[:_MOST]
    letters = [unicodedata.name(one, "").split(" ")[0] for one in shown if one.isalpha()]
    for name, scripts, line in _SCRIPTS:
        found = sum(one in scripts.split() for one in letters)
        if found and found >= max(1, 0.15 * len(letters)):
            return name, line
    plain = re.sub(r"\baus?[\s#-]*\d+", " ", shown.lower())  # no French "au"
    words = re.findall(r"[^\W\d_]+(?:['’-][^\W\d_]+)*", plain)
    words += [part for word in words if "-" in word for part in word.split("-")]
    scores = {name: len(known & set(words)) for name, (_, known) in LANGUAGES.items()}
    best = max(scores, key=lambda name: scores[name])
    own = len(_ENGLISH & set(words))
    accented = any(ord(one) > 127 and one.isalpha() for one in shown) or "¿" in shown
    if scores[best] > own and scores[best] >= (1 if accented else 2):
        return best, LANGUAGES[best][0]
    if accented and not own and not _ENGLISH.intersection(words):
        return "another language", ""
    return None
